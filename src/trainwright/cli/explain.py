"""``trainwright explain SYMPTOM``: what it is, how it is measured, causes and remedies."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trainwright.diagnosis.definitions import Symptom
    from trainwright.playbooks.remedy import Remedy


def register(app: typer.Typer, group: str) -> None:
    """Add the verb."""
    app.command(rich_help_panel=group)(explain)


def explain(
    name: Annotated[str | None, typer.Argument(help="A symptom or a cause; without one, all are listed.")] = None,
    family: Annotated[
        str | None, typer.Option(help="Only remedies of this family's playbook, and the literature's.")
    ] = None,
) -> None:
    """Explain a symptom: what it is, how it is measured, thresholds with their sources, causes, remedies."""
    from trainwright.catalog import family as family_of
    from trainwright.diagnosis.causes import causes
    from trainwright.diagnosis.symptoms import symptoms
    from trainwright.errors import UserError, nearest

    if family is not None:
        family_of(family, "--family")
    known, reasons = symptoms(), causes()
    if name is None:
        print("symptoms:")
        width = max(map(len, known))
        print("\n".join(f"  {s.name:{width}}  {s.title}" for s in known.values()))
        print("\ncauses:")
        print("\n".join(f"  {c.name:{width}}  {c.title}" for c in reasons.values()))
        return
    if name in known:
        _symptom(known[name], family)
    elif name in reasons:
        cause = reasons[name]
        print(f"{cause.name}: {cause.title}\n\nbehind: {', '.join(cause.of)}\n\nremedies:")
        _remedies([r for s in cause.of for r in _for(s, (name,), family) if name in r.causes])
    else:
        raise UserError(
            f"no symptom or cause {name!r}.{nearest(name, [*known, *reasons])} `trainwright explain` lists them."
        )


def _symptom(symptom: "Symptom", family: str | None) -> None:
    from trainwright.diagnosis.causes import causes

    print(f"{symptom.name}: {symptom.title}\n\n{symptom.what}\n\nmeasured: {symptom.measured}\n\nthresholds:")
    for name, bound in symptom.bounds.items():
        print(f"  {name} {bound.value:g}: {bound.meaning} ({bound.source})")
    print("\ncauses:")
    for cause in causes().values():
        if symptom.name in cause.of:
            print(f"  {cause.name}: {cause.title}")
    if symptom.advice:
        print(f"\nin any loop: {symptom.advice}")
    if symptom.explains:
        print(f"\nwith it may come: {', '.join(symptom.explains)}")
    print("\nremedies, in the order of the evidence:")
    _remedies(_for(symptom.name, (), family))


def _for(symptom: str, causes: tuple[str, ...], family: str | None) -> "list[Remedy]":
    from trainwright.playbooks.remedy import remedies_for

    return remedies_for(symptom, causes, family)


def _remedies(remedies: "list[Remedy]") -> None:
    from trainwright.report.diagnosis import remedy_text

    seen: list[Remedy] = []
    for remedy in remedies:
        if remedy not in seen:
            seen.append(remedy)
            print(f"  {remedy_text(remedy)}")
    if not seen:
        print("  none in the playbooks yet")
