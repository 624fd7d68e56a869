//! The trace hook: one function per thread that sees every switch and throw.

use crate::greenlet::AnyGreenlet;
use crate::object::Core;
use crate::runtime::{Runtime, TRACED};
use alloc::boxed::Box;

/// What a greenlet was continued by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A value was passed, by a switch or as the result of a child.
    Switch,
    /// Something was thrown, by a throw, a kill, or a child that panicked.
    Throw,
}

/// One switch, as the hook sees it: in the target, before the target goes on.
#[derive(Clone, Debug)]
pub struct Event {
    /// What the target was continued by.
    pub kind: EventKind,
    /// The greenlet that was left; it may have finished.
    pub origin: AnyGreenlet,
    /// The greenlet that goes on.
    pub target: AnyGreenlet,
}

/// A trace hook.
pub type Hook = Box<dyn FnMut(&Event)>;

/// Sets this thread's trace hook, or with `None` removes it. Returns the one before.
///
/// The hook is called for each switch and throw, in the greenlet that was switched to, before it goes on. It cannot switch
/// itself ([`Refused::Tracing`](crate::Refused::Tracing)); what a drop in it kills is not traced. A panic in the hook is thrown
/// into the target, and the hook stays. A hook that is set from within the hook takes its place, from the next switch on.
///
/// # Panics
///
/// When the thread is ending and its state is gone.
pub fn set_trace(hook: Option<Hook>) -> Option<Hook> {
    // SAFETY: the state of this thread.
    let runtime = unsafe { &*Runtime::of_this_thread() };
    runtime.attend(TRACED, hook.is_some());
    runtime.hook_changed.set(true);
    runtime.hook.replace(hook)
}

/// Calls the hook.
///
/// # Safety
///
/// Both greenlets are valid.
#[cold]
pub(crate) unsafe fn call(
    runtime: &Runtime,
    kind: EventKind,
    origin: *const Core,
    target: *const Core,
) {
    /// Puts the hook back, also when it panics.
    struct Back<'a>(&'a Runtime, Option<Hook>);
    impl Drop for Back<'_> {
        fn drop(&mut self) {
            self.0.tracing.set(false);
            if !self.0.hook_changed.get() {
                self.0.hook.set(self.1.take());
            }
        }
    }

    if runtime.tracing.get() {
        return; // a drop in the hook has killed somebody, and the hook, or that one, has set another
    }
    let Some(hook) = runtime.hook.take() else { return };
    runtime.hook_changed.set(false);
    runtime.tracing.set(true);
    let mut back = Back(runtime, Some(hook));
    // SAFETY: the caller's promise.
    let event =
        unsafe { Event { kind, origin: AnyGreenlet::of(origin), target: AnyGreenlet::of(target) } };
    if let Some(hook) = &mut back.1 {
        hook(&event);
    }
}
