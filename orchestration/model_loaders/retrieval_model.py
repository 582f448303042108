"""How MLflow reloads a registered retrieval model: users in, ads out."""

import mlflow
import pandas as pd


class RetrievalModel(mlflow.pyfunc.PythonModel):
    """Input: column user_id. Output: user_id, ad_id, advertiser_id, rank, score, generator."""

    def load_context(self, context):
        from pathlib import Path

        from ml.candidates.ad_retrieval import AdRetrieval

        self.retrieval = AdRetrieval.load(Path(context.artifacts["checkpoint"]))

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return self.retrieval.retrieve(model_input["user_id"].to_numpy(), 100)


mlflow.models.set_model(RetrievalModel())
