from collections.abc import Callable
from contextvars import Context
from types import FrameType, TracebackType
from typing import Any, Final, Literal, overload

from typing_extensions import disjoint_base

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

__version__: Final[str]
GREENLET_USE_CONTEXT_VARS: Final = True
GREENLET_USE_GC: Final = True
GREENLET_USE_TRACING: Final = True
CLOCKS_PER_SEC: Final[int]

_C_API: object
_TraceEvent = Literal["switch", "throw"]
_TraceFunction = Callable[[_TraceEvent, tuple[greenlet, greenlet]], object]

class GreenletExit(BaseException): ...
class error(Exception): ...

_GreenletExit = GreenletExit
_error = error

@disjoint_base
class greenlet:
    run: Callable[..., Any]
    parent: greenlet | None
    gr_context: Context | None
    @property
    def dead(self) -> bool: ...
    @property
    def gr_frame(self) -> FrameType | None: ...
    @property
    def _stack_saved(self) -> int: ...
    def __init__(self, run: Callable[..., Any] | None = None, parent: greenlet | None = None) -> None: ...
    def switch(self, *args: Any, **kwargs: Any) -> Any: ...
    @overload
    def throw(
        self, typ: type[BaseException] = ..., val: BaseException | object = None, tb: TracebackType | None = None, /
    ) -> Any: ...
    @overload
    def throw(self, typ: BaseException, val: None = None, tb: TracebackType | None = None, /) -> Any: ...
    def __bool__(self) -> bool: ...
    @staticmethod
    def getcurrent() -> greenlet: ...
    @staticmethod
    def gettrace() -> _TraceFunction | None: ...
    @staticmethod
    def settrace(callback: _TraceFunction | None, /) -> _TraceFunction | None: ...
    error: type[_error]
    GreenletExit: type[_GreenletExit]

def getcurrent() -> greenlet: ...
def gettrace() -> _TraceFunction | None: ...
def settrace(callback: _TraceFunction | None, /) -> _TraceFunction | None: ...
def enable_optional_cleanup(enabled: bool, /) -> None: ...
def get_clocks_used_doing_optional_cleanup() -> int | None: ...
