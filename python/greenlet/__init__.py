"""Greenlets: coroutines that share one machine stack.

A greenlet is a flow of control of its own. Nobody schedules it: ``g.switch()`` suspends the one that runs, however deep
in calls it is, and continues ``g``.

    >>> from greenlet import getcurrent, greenlet
    >>> main = getcurrent()
    >>> def double(x):
    ...     while True:
    ...         x = main.switch(2 * x)
    >>> g = greenlet(double)
    >>> g.switch(1), g.switch(5)
    (2, 10)
"""

try:
    from ._greenlet import (
        _C_API,
        CLOCKS_PER_SEC,
        GREENLET_USE_CONTEXT_VARS,
        GREENLET_USE_GC,
        GREENLET_USE_TRACING,
        GreenletExit,
        enable_optional_cleanup,
        error,
        get_clocks_used_doing_optional_cleanup,
        getcurrent,
        gettrace,
        greenlet,
        settrace,
    )
except ModuleNotFoundError as error:
    import sysconfig

    if sysconfig.get_config_var("Py_GIL_DISABLED"):  # the extension of another interpreter has another name
        raise ImportError(
            "greenlet does not support free-threaded builds of CPython yet: use the ordinary build"
        ) from error
    raise

__version__ = "3.5.6+rs.1"

__all__ = [
    "_C_API",
    "__version__",
    "GreenletExit",
    "error",
    "getcurrent",
    "gettrace",
    "greenlet",
    "settrace",
]
