"""How MLflow reloads a registered ranker: features in, calibrated probabilities out."""

import mlflow
import pandas as pd


class RankerModel(mlflow.pyfunc.PythonModel):
    """Input: the feature columns of `ml.ranking`. Output: probability (of a conversion) and one column each target."""

    def load_context(self, context):
        from pathlib import Path

        from ml.ranking.model import RankingModel

        self.model = RankingModel.load(Path(context.artifacts["checkpoint"]))

    def predict(self, context, model_input: pd.DataFrame, params=None):
        found = self.model.predict(model_input)
        return pd.DataFrame({"probability": found["conversion"], **found}, index=model_input.index)


mlflow.models.set_model(RankerModel())
