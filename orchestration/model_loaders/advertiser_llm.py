"""How MLflow reloads a registered advertiser LLM: user contexts in, advertisers with probability out.

`model_config`: base_model (its name) and base_models (the cache directory; where the base model is
fetched to if it is not there). The checkpoint refuses any other base than the one it was trained on.
"""

import mlflow
import pandas as pd


class AdvertiserLLM(mlflow.pyfunc.PythonModel):
    """Input: column contexts (one row: directory of published user contexts). Output: top 50 per user."""

    def load_context(self, context):
        from pathlib import Path

        from ml.llm.base_model import fetch_base_model
        from ml.llm.predictor import LLMPredictor
        from ml.llm.settings import LLMSettings

        config = context.model_config
        base = fetch_base_model(config["base_model"], Path(config["base_models"]))
        checkpoint = Path(context.artifacts["checkpoint"])
        self.predictor = LLMPredictor.load(
            checkpoint, base, model_version=config["model_version"], settings=LLMSettings(**config["settings"])
        )

    def predict(self, context, model_input: pd.DataFrame, params=None):
        from pathlib import Path

        from ml.contexts.store import read_contexts

        return self.predictor.predict(read_contexts(Path(model_input["contexts"].iloc[0])), 50)


mlflow.models.set_model(AdvertiserLLM())
