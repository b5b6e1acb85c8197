"""Assertions whose failure text shows what came and what was wanted, cut to a readable length."""


class Failed(AssertionError):
    """A check did not hold."""


class Skipped(Exception):
    """The machine lacks what the test needs; the reason is shown in the summary."""


def short(value, limit=400):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def fail(what, *details):
    raise Failed("\n    ".join([what, *[short(d) for d in details]]))


def ok(condition, what, *details):
    if not condition:
        fail(what, *details)


def eq(got, want, what="value"):
    if got != want or type(got) is bool and type(want) is not bool:
        fail(f"{what} differs", f"got  {short(got)}", f"want {short(want)}")


def one_of(got, wanted, what="value"):
    if got not in wanted:
        fail(f"{what} is none of the allowed", f"got  {short(got)}", f"want one of {short(list(wanted))}")


def between(got, low, high, what="value"):
    if not low <= got <= high:
        fail(f"{what} is out of range", f"got  {got}", f"want {low} to {high}")


def has(frame, what=None, **members):
    """Every named member stands in the frame with that value; a callable value is a predicate."""
    if not isinstance(frame, dict):
        fail(f"{what or 'frame'} is not a frame", f"got  {short(frame)}")
    for name, want in members.items():
        got = frame.get(name, "(absent)")
        held = want(got) if callable(want) else got == want
        if not held:
            shown = getattr(want, "__name__", "a predicate") if callable(want) else short(want)
            fail(f"{what or frame.get('op', 'frame')}.{name} differs", f"got  {short(got)}", f"want {shown}",
                 f"in   {short(frame)}")
    return frame


def lacks(frame, *names):
    for name in names:
        if name in frame:
            fail(f"{name} must not be there", f"in   {short(frame)}")
    return frame


def is_error(frame, code, status, what=None):
    """An err frame as the sheet says: code, status, a message and a retry flag a program can act on."""
    has(frame, what, op="err", code=code, status=status)
    ok(isinstance(frame.get("message"), str) and len(frame["message"]) > 5, f"{code} needs a message", frame)
    return frame
