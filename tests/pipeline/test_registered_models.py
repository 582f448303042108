"""What MLflow registered reloads in a new process and predicts what the pipeline published."""

from __future__ import annotations

import json

from tests.pipeline.conftest import DAY, Pipeline


def test_registered_llm_reloads_with_equal_scores(tiny_run: Pipeline):
    """The PEFT trap: a reloaded adapter on random base weights gives other numbers, silently."""
    code = f"""
import json
from datetime import date
import mlflow, numpy as np, pandas as pd
from safetensors.torch import load_file
from ml.contexts.store import read_contexts
from ml.predictors.predictions import read_predictions
from ml.predictors.prior_shift import PriorShift
from orchestration.workspace import Workspace
space, day = Workspace(), date.fromisoformat({DAY!r})
mlflow.set_tracking_uri("sqlite:///" + str(space.settings.out.absolute()) + "/mlflow.db")
model = mlflow.pyfunc.load_model("models:/advertiser_llm@challenger")
found = model.predict(pd.DataFrame({{"contexts": [str(space.table("user_contexts", day) / "contexts")]}}))
published = read_predictions(space.table("advertiser_predictions", day))
past = next((space.root / "models" / "past_predictions").glob("*/manifest.json"))
correction = PriorShift(**json.loads(past.read_text())["prior_shift"])
ids = pd.read_parquet(space.table("advertiser_predictions", day) / "catalogue.parquet")["advertiser_id"]
shift = pd.Series(correction.of_day(read_contexts(space.table("user_contexts", day) / "contexts"), ids.to_numpy()), ids)
said = np.log(published["probability"]) - published["advertiser_id"].map(shift)
published["probability"] = np.exp(said / correction.sharpness)
both = found.merge(published, on=["user_id", "advertiser_id"], suffixes=("_found", "_published"))
shared = len(both) / len(published)
head = next((space.root / "models" / "advertiser_llm").glob("*/head.safetensors"))
trained = pd.read_parquet(head.with_name("catalogue.parquet"))["advertiser_id"][load_file(head)["trained"].numpy()]
both = both[both["advertiser_id"].isin(trained)]
ratio = np.log(both["probability_found"] / both["probability_published"])
spread = ratio.groupby(both["user_id"]).std().max()
versions = [table["model_version"].iloc[0] for table in (found, published)]
print(json.dumps([shared, float(spread), *versions]))
"""
    done = tiny_run.python(code)
    assert done.returncode == 0, done.stderr
    shared, spread, found, published = json.loads(done.stdout.splitlines()[-1])
    assert found == published
    # What is published is corrected for prior shift. The catalogue of the day may hold other advertisers than that of
    # the training: within a user, probabilities then differ by one common factor, and nothing else; but for those never
    # trained on, whose bias goes by what is known of them on the day.
    assert shared > 0.8
    assert spread < 1e-4


def test_registered_ranker_and_retrieval_model_reload(tiny_run: Pipeline):
    code = f"""
import json
from datetime import date
import mlflow, numpy as np, pandas as pd
from ml.candidates.ad_retrieval import AdRetrieval
from ml.ranking.ranker import Ranker
from orchestration import plan
from orchestration.workspace import Workspace
space, day = Workspace(), date.fromisoformat({DAY!r})
mlflow.set_tracking_uri("sqlite:///" + str(space.settings.out.absolute()) + "/mlflow.db")
ranker = Ranker.load(plan.target(space, "ranker", day) / "llm")
rows = pd.DataFrame(np.random.default_rng(0).random((50, len(ranker.features))), columns=ranker.features)
reloaded = mlflow.pyfunc.load_model("models:/ranker@champion").predict(rows)["probability"]
retrieval = AdRetrieval.load(plan.target(space, "retrieval_model", day))
users = retrieval.user_ids[:5]
ads = mlflow.pyfunc.load_model("models:/retrieval_model@champion").predict(pd.DataFrame({{"user_id": users}}))
equal = (reloaded.to_numpy() == ranker.predict(rows)).all()
print(json.dumps([bool(equal), bool(ads.equals(retrieval.retrieve(users, 100)))]))
"""
    done = tiny_run.python(code)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True, True]
