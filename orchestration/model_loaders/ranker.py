"""How MLflow reloads a registered ranker: features in, calibrated probability of a conversion out."""

import mlflow
import pandas as pd


class RankerModel(mlflow.pyfunc.PythonModel):
    """Input: the feature columns of `ml.ranking`. Output: column probability."""

    def load_context(self, context):
        from pathlib import Path

        from ml.ranking.ranker import Ranker

        self.ranker = Ranker.load(Path(context.artifacts["checkpoint"]))

    def predict(self, context, model_input: pd.DataFrame, params=None):
        return pd.DataFrame({"probability": self.ranker.predict(model_input)}, index=model_input.index)


mlflow.models.set_model(RankerModel())
