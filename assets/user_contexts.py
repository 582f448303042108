"""User contexts: what is known of each consenting, active user at the end of the day, and the prompt of it."""

import dagster as dg

from orchestration.graph import asset_arguments
from orchestration.resources import WorkspaceResource


@dg.asset(**asset_arguments("user_contexts"), kinds={"duckdb", "parquet"})
def user_contexts(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.MaterializeResult:
    """One row per consenting active user: profile, stream of events, rendered prompt, content hash."""
    from ml.contexts.build import build_contexts
    from ml.contexts.render import render_prompts
    from ml.contexts.store import write_contexts
    from ml.llm.base_model import fetch_base_model
    from ml.llm.tokens import LineTokenizer

    stage = workspace.stage(context)
    if before := stage.published_before():
        return before
    llm = stage.settings.llm
    base = fetch_base_model(llm.base_model, stage.workspace.base_models, stage.progress)
    contexts = build_contexts(stage.workspace.lake, stage.day, stage.settings.contexts)
    prompts = render_prompts(contexts, LineTokenizer(base).count, llm.max_prompt_tokens)
    write_contexts(contexts, (work := stage.work()) / "contexts", prompts)
    metrics = {
        "events": len(contexts.events),
        "tokens": int(prompts.n_tokens.sum()),
        "tokens_per_user": round(float(prompts.n_tokens.mean()), 1),
        "truncated_users": int((prompts.n_dropped > 0).sum()),
    }
    return stage.publish(work, rows=len(contexts), metrics=metrics)
