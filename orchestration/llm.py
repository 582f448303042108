"""The advertiser LLM as a stage sees it: the version its day uses, on the base model it was trained on."""

from ml.llm.predictor import LLMPredictor
from orchestration.stage import Stage


def load_llm(stage: Stage) -> LLMPredictor:
    """Load it; fetches the base model if the cache lacks it."""
    from ml.llm.base_model import fetch_base_model

    settings = stage.settings.llm
    base = fetch_base_model(settings.base_model, stage.workspace.base_models, stage.progress)
    directory = stage.input("advertiser_llm")
    return LLMPredictor.load(directory, base, model_version=directory.name, settings=settings)
