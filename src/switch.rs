//! Leaving one greenlet and arriving in another: values, payloads, parents, and the end of a greenlet.
//!
//! The one rule that keeps types apart: a greenlet that leaves says in `awaits` what it will take out of the transit
//! when it is back, and nobody puts anything else in. (What the running one has there is stale.)

use crate::error::{Killed, OutOfMemory, Payload, Refused, SwitchError, WrongResult};
use crate::object::{Core, Stage};
use crate::raw;
use crate::runtime::{ORPHAN, Runtime, THROWN, TRACED};
use crate::trace::{self, EventKind};
use crate::transit::Transit;
use crate::typeinfo::TypeInfo;
use crate::unwind;
use alloc::boxed::Box;
use core::any::Any;
use core::ffi::c_void;
use core::ptr;

/// What somebody who kills waits for. Nobody outside can make one.
struct Ended;

/// Sends `value` to `target`, and waits for an `Out` from whoever switches back.
///
/// Goes on with `ok` or `err`, in line, so that the common path never has to look like a `Result` in memory.
///
/// # Safety
///
/// `target` is valid, and of this thread.
#[inline(always)]
pub(crate) unsafe fn send<In: 'static, Out: 'static, R>(
    target: *const Core,
    value: In,
    ok: impl FnOnce(Out) -> R,
    err: impl FnOnce(SwitchError<In>) -> R,
) -> R {
    // SAFETY: `target` is valid and keeps its runtime, which has another one as its running greenlet.
    unsafe {
        let runtime = (*target).runtime;
        let current = (*runtime).current();
        if target == current {
            return in_full(move || send_elsewhere(target, value), ok, err);
        }
        send_from(runtime, current, target, value, ok, err)
    }
}

/// [`send`] for those who know who they are.
///
/// # Safety
///
/// `current` runs, `runtime` is its thread's and the target's, and the target is another one.
#[inline(always)]
pub(crate) unsafe fn send_from<In: 'static, Out: 'static, R>(
    runtime: *const Runtime,
    current: *const Core,
    target: *const Core,
    value: In,
    ok: impl FnOnce(Out) -> R,
    err: impl FnOnce(SwitchError<In>) -> R,
) -> R {
    // SAFETY: `target` is valid. The value is put in for a receiver of its type, and taken out as the
    // type that was left in `awaits`.
    unsafe {
        if !(*target).awaits.get().is::<In>() {
            return in_full(move || send_elsewhere(target, value), ok, err);
        }
        if unwind::panicking() || (*runtime).tracing.get() {
            let refused = move || Err(SwitchError::Refused(why_not(&*runtime), value));
            return in_full(refused, ok, err);
        }
        if let Err((OutOfMemory, value)) = (*runtime).transit.put(value) {
            return in_full(
                move || Err(SwitchError::Refused(Refused::OutOfMemory, value)),
                ok,
                err,
            );
        }
        (*current).awaits.set(TypeInfo::of::<Out>());
        (*runtime).leaves(current);
        if !raw::Thread::switch_in_place((*runtime).thread.get(), (*current).raw(), (*target).raw())
            && !go_or_start(runtime, target)
        {
            let unsent = move || {
                (*runtime).attend(ORPHAN, false);
                Err(SwitchError::Refused(Refused::OutOfMemory, (*runtime).transit.take()))
            };
            return in_full(unsent, ok, err);
        }
        if (*runtime).attention.get() == 0 {
            return ok((*runtime).transit.take());
        }
        let arrived = move || arrive_slowly(&*runtime, current).map_err(SwitchError::Thrown);
        in_full(arrived, ok, err)
    }
}

/// Off the common path, and out of line: whatever this keeps in memory is no part of the frame of one who is
/// suspended in [`send`], and so of no slice.
#[cold]
#[inline(never)]
fn in_full<In, Out, R>(
    outcome: impl FnOnce() -> Result<Out, SwitchError<In>>,
    ok: impl FnOnce(Out) -> R,
    err: impl FnOnce(SwitchError<In>) -> R,
) -> R {
    match outcome() {
        Ok(value) => ok(value),
        Err(error) => err(error),
    }
}

/// The switch that has something to copy, or begins the target. False, and nothing done, if there is no memory.
///
/// # Safety
///
/// As for [`send_from`].
#[inline(always)]
unsafe fn go_or_start(runtime: *const Runtime, target: *const Core) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*(*target).raw()).is_active() {
            raw::Thread::switch_moving((*runtime).thread.get(), (*target).raw())
        } else {
            start(&*runtime, target)
        }
    }
}

/// Begins a greenlet on the separate stack. False, and nothing done, if there is no memory.
///
/// # Safety
///
/// `target` has not begun.
#[inline(never)]
unsafe fn start(runtime: &Runtime, target: *const Core) -> bool {
    let Ok(stack) = runtime.stack() else { return false };
    // SAFETY: the creator of the greenlet has promised what `raw::Thread::start` asks for.
    unsafe {
        let core = &*target;
        core.stage.set(Stage::Active);
        Core::link(target);
        let word = target.cast_mut().cast();
        let started =
            raw::Thread::start(runtime.thread.get(), core.raw(), stack, core.body(), word);
        if started.is_err() {
            Core::unlink(target);
            core.stage.set(Stage::New);
        }
        started.is_ok()
    }
}

/// A switch that is not the plain one: to the running greenlet, or one that must be refused.
#[cold]
#[inline(never)]
unsafe fn send_elsewhere<In: 'static, Out: 'static>(
    target: *const Core,
    value: In,
) -> Result<Out, SwitchError<In>> {
    // SAFETY: `target` is valid.
    let core = unsafe { &*target };
    // SAFETY: a valid core's runtime is.
    let runtime = unsafe { &*core.runtime };
    let sent = core::any::type_name::<In>();
    let why = if core.stage.get() == Stage::Finished {
        Refused::Finished
    } else if target == runtime.current() {
        let mut value = Some(value);
        if let Some(same) = (&mut value as &mut dyn Any).downcast_mut::<Option<Out>>() {
            return Ok(same.take().unwrap());
        }
        let expected = core::any::type_name::<Out>();
        return Err(SwitchError::Refused(Refused::WrongType { expected, sent }, value.unwrap()));
    } else {
        let expected = core.awaits.get().name();
        Refused::WrongType { expected, sent }
    };
    Err(SwitchError::Refused(why, value))
}

/// Why this thread cannot switch now.
#[cold]
fn why_not(runtime: &Runtime) -> Refused {
    if runtime.tracing.get() { Refused::Tracing } else { Refused::Unwinding }
}

/// Somebody has switched to `me`: takes what was sent, and does what the one that was left could not do for itself.
///
/// # Safety
///
/// `me` runs, and `Out` is the type that it awaited.
#[inline(always)]
unsafe fn arrive<Out: 'static>(runtime: *const Runtime, me: *const Core) -> Result<Out, Payload> {
    // SAFETY: the rule of this file.
    unsafe {
        if (*runtime).attention.get() != 0 {
            return arrive_slowly(&*runtime, me);
        }
        Ok((*runtime).transit.take())
    }
}

#[cold]
#[inline(never)]
unsafe fn arrive_slowly<Out: 'static>(runtime: &Runtime, me: *const Core) -> Result<Out, Payload> {
    // SAFETY: as in `arrive`: either something was thrown, or a value was put in. The origin is valid until the orphan is
    // buried here.
    unsafe {
        let attention = runtime.attention.get();
        runtime.attention.set(attention & TRACED);
        let thrown = runtime.thrown.take();
        let kind = if thrown.is_some() { EventKind::Throw } else { EventKind::Switch };
        let mut received = match thrown {
            Some(payload) => Err(payload),
            None => Ok(runtime.transit.take()),
        };
        let origin = runtime.origin.get();
        let lost = runtime.lost.take().map(|drop_it| {
            (*origin).hold();
            (drop_it, Held(origin))
        });
        let orphan = (attention & ORPHAN != 0).then(|| {
            (*origin).hold();
            Held(origin)
        });
        // What is in `received` is nobody's yet: a panic takes its place, and is thrown.
        let mut instead = |outcome: Result<(), Payload>| {
            if let Err(payload) = outcome {
                let before = core::mem::replace(&mut received, Err(payload));
                unwind::discard(before);
            }
        };
        if let Some((drop_it, _)) = &lost {
            instead(unwind::catch(|| drop_it(&runtime.transit))); // first: it is in the way of whatever else is sent
        }
        if attention & TRACED != 0 {
            instead(unwind::catch(|| trace::call(runtime, kind, origin, me)));
        }
        if orphan.is_some() {
            instead(unwind::catch(|| drop(orphan))); // frees it, or kills it
        }
        if lost.is_some() {
            instead(unwind::catch(|| drop(lost)));
        }
        received
    }
}

/// A count that is given back however its scope is left.
struct Held(*const Core);

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: whoever makes one hands over a count.
        unsafe { Core::release(self.0) };
    }
}

/// Where a greenlet begins: runs the closure with the first value, and then goes to the parent for ever.
///
/// # Safety
///
/// Called by the engine, with a core of these types that has been started.
pub(crate) unsafe extern "C" fn run<F, In, Out>(word: *mut c_void) -> !
where
    F: FnOnce(In) -> Out + 'static,
    In: 'static,
    Out: 'static,
{
    let me: *const Core = word.cast_const().cast();
    // SAFETY: the closure is an `F` and has not run; an `In` was sent, since that is what a new greenlet awaits.
    unsafe {
        let outcome = unwind::catch(|| {
            let closure = Core::take_closure::<F>(me);
            match arrive::<In>((*me).runtime, me) {
                Ok(value) => closure(value),
                Err(payload) => unwind::resume(payload),
            }
        });
        end(me, outcome)
    }
}

/// The end of a greenlet: its result, or the payload that unwound it, goes to whom it belongs to.
///
/// # Safety
///
/// `me` runs, and nothing in its frames below needs to be dropped.
#[inline(never)]
unsafe fn end<Out: 'static>(me: *const Core, outcome: Result<Out, Payload>) -> ! {
    // SAFETY: `me` is valid until its successor has arrived.
    unsafe {
        let runtime = &*(*me).runtime;
        let left = match outcome {
            Ok(value) => {
                // As a rule the parent waits for it, and nobody for the end. (One that has finished waits for nothing.)
                let parent = (*me).parent.get();
                let waits = (*me).killer.get().is_null() && (*parent).awaits.get().is::<Out>();
                if waits && Transit::fits::<Out>() {
                    let _ = runtime.transit.put(value); // cannot fail
                    depart(me, parent)
                }
                Left::Value(value)
            }
            Err(payload) => Left::Payload(payload),
        };
        let target = settle(runtime, me, left);
        depart(me, target)
    }
}

/// The end of a greenlet, when what it leaves is where `target` will find it.
///
/// # Safety
///
/// As for [`end`].
#[inline(never)]
unsafe fn depart(me: *const Core, target: *const Core) -> ! {
    // SAFETY: `me` is valid until its successor has arrived.
    unsafe {
        let runtime = &*(*me).runtime;
        // From here on something is in transit or thrown: no code of the user's may run.
        Core::finish(me);
        let killer = (*me).killer.replace(ptr::null());
        if killer == target {
            (*killer).count.set((*killer).count.get() - 1); // about to run: alive without being counted
        } else if !killer.is_null() {
            Core::release_later(killer);
        }
        if (*me).parent.get() == target {
            Core::unparent_for(me, target);
        }
        runtime.leaves(me);
        leave(runtime, target)
    }
}

/// What a greenlet leaves at its end.
enum Left<Out> {
    Value(Out),
    Payload(Payload),
    /// It was killed, and what it left has been dropped.
    Nothing,
}

/// Puts the result where the target will find it, or notes what is thrown. Returns the target: an ancestor that
/// waits, or one that is begun by the result, or the killer.
///
/// Whatever is dropped here is the user's, and may panic, switch, be killed while it is away, change parents and drop
/// handles: so everything is looked at anew after each drop.
#[cold]
#[inline(never)]
unsafe fn settle<Out: 'static>(
    runtime: &Runtime,
    me: *const Core,
    mut left: Left<Out>,
) -> *const Core {
    /// Drops something of the user's.
    fn dropped<T>(value: T) -> Result<(), Payload> {
        unwind::catch(|| drop(value))
    }
    // SAFETY: parents are held by their children, the killer by `me`'s count of it.
    unsafe {
        let throw_into = |target: *const Core, payload| {
            runtime.thrown.set(Some(payload));
            runtime.attend(THROWN, true);
            target
        };
        loop {
            let killer = (*me).killer.get();
            if is_being_killed(me) {
                left = match left {
                    Left::Nothing => {
                        let _ = runtime.transit.put(Ended);
                        return killer;
                    }
                    Left::Payload(payload) if !payload.is::<Killed>() => {
                        return throw_into(killer, payload);
                    }
                    // A result of one that caught its end, or the payload of its end.
                    left => dropped(left).map_or_else(Left::Payload, |()| Left::Nothing),
                };
                continue;
            }
            let parent = living((*me).parent.get());
            let expected = (*parent).awaits.get();
            left = match left {
                Left::Nothing => Left::Payload(Box::new(Killed(()))),
                Left::Payload(payload) if (*parent).stage.get() == Stage::New => {
                    Left::Payload(match finish_new(parent) {
                        Ok(()) => payload,
                        Err(another) => {
                            unwind::discard(payload);
                            another
                        }
                    })
                }
                Left::Payload(payload) => return throw_into(parent, payload),
                Left::Value(value) if expected.is::<Out>() => match runtime.transit.put(value) {
                    Ok(()) => return parent,
                    Err((OutOfMemory, value)) => {
                        unwind::discard(value);
                        Left::Payload(Box::new(OutOfMemory))
                    }
                },
                Left::Value(value) => {
                    let expected = expected.name();
                    let returned = core::any::type_name::<Out>();
                    let wrong = |()| boxed(WrongResult { expected, returned });
                    Left::Payload(dropped(value).map_or_else(|payload| payload, wrong))
                }
            };
        }
    }
}

/// Finishes one that has not begun, and drops its closure. What that does may let go of it.
unsafe fn finish_new(core: *const Core) -> Result<(), Payload> {
    // SAFETY: it is valid, and held here.
    unsafe {
        (*core).hold();
        let held = Held(core);
        let finished = unwind::catch(|| Core::finish(core));
        match unwind::catch(|| drop(held)) {
            Ok(()) => finished,
            Err(payload) => {
                unwind::discard(finished);
                Err(payload)
            }
        }
    }
}

/// A payload, or, where there is no memory for it, the one that needs none.
fn boxed<T: Any + Send>(value: T) -> Payload {
    // SAFETY: the layout is that of a `T`, which is written before the box is made.
    unsafe {
        let layout = alloc::alloc::Layout::new::<T>();
        if layout.size() == 0 {
            return Box::new(value);
        }
        let block: *mut T = alloc::alloc::alloc(layout).cast();
        if block.is_null() {
            return Box::new(OutOfMemory);
        }
        block.write(value);
        Box::from_raw(block)
    }
}

/// The nearest of `core` and its ancestors that has not finished.
unsafe fn living(mut core: *const Core) -> *const Core {
    // SAFETY: parents are held by their children; main never finishes.
    unsafe {
        while (*core).stage.get() == Stage::Finished {
            core = (*core).parent.get();
        }
        core
    }
}

/// Notes `payload` as thrown for `core`, or for the nearest living ancestor that has begun: one that has not is finished
/// by it without having run.
///
/// # Safety
///
/// `core` is held.
unsafe fn first_that_can_take(
    runtime: &Runtime,
    core: *const Core,
    mut payload: Payload,
) -> *const Core {
    // SAFETY: parents are held by their children.
    unsafe {
        let target = loop {
            let first = living(core);
            if (*first).stage.get() != Stage::New {
                break first;
            }
            if let Err(another) = finish_new(first) {
                unwind::discard(core::mem::replace(&mut payload, another));
            }
        };
        runtime.thrown.set(Some(payload));
        runtime.attend(THROWN, true);
        target
    }
}

/// The last switch of a greenlet. It must not fail, so when there is no memory to save those who
/// are in the way, the error goes to an ancestor that can be reached without any: main always can.
///
/// # Safety
///
/// The running greenlet is finished, and what `target` waits for is in transit or thrown.
unsafe fn leave(runtime: &Runtime, mut target: *const Core) -> ! {
    // SAFETY: the caller's promise.
    unsafe {
        let thread = runtime.thread.get();
        loop {
            if (*target).stage.get() == Stage::New {
                if let Ok(stack) = runtime.stack() {
                    (*target).stage.set(Stage::Active);
                    Core::link(target);
                    let word = target.cast_mut().cast();
                    let (raw, body) = ((*target).raw(), (*target).body());
                    raw::Thread::finish_and_start(thread, raw, stack, body, word);
                    Core::unlink(target);
                    (*target).stage.set(Stage::New);
                }
            } else {
                raw::Thread::finish(thread, (*target).raw(), ptr::null_mut());
            }
            // Refused for want of memory. A result is dropped where the error arrives, what was thrown is not lost.
            let mut next = (*target).parent.get();
            while !next.is_null()
                && ((*next).stage.get() != Stage::Active
                    || !raw::Thread::needs_no_memory(thread, (*next).raw()))
            {
                next = (*next).parent.get();
            }
            if next.is_null() {
                next = &raw const runtime.main;
            }
            let thrown = runtime.thrown.take();
            // Somebody who kills is sent nothing that has to be dropped.
            if thrown.is_none() && !(*target).awaits.get().is::<Ended>() {
                runtime.lost.set(Some((*runtime.current()).class.drop_result));
            }
            runtime.thrown.set(Some(thrown.unwrap_or_else(|| Box::new(OutOfMemory))));
            runtime.attend(THROWN, true);
            target = next;
        }
    }
}

/// Throws `payload` into `target`, and waits for an `Out` from whoever switches back.
///
/// # Safety
///
/// `target` is valid, and of this thread.
pub(crate) unsafe fn throw<Out: 'static>(
    target: *const Core,
    payload: Payload,
) -> Result<Out, SwitchError<Payload>> {
    // SAFETY: `target` is valid, and so are its runtime and its ancestors.
    unsafe {
        let core = &*target;
        let runtime = &*core.runtime;
        let refused = if unwind::panicking() || runtime.tracing.get() {
            Some(why_not(runtime))
        } else if core.stage.get() == Stage::Finished {
            Some(Refused::Finished)
        } else if core.is_main() {
            Some(Refused::Main)
        } else {
            None
        };
        if let Some(why) = refused {
            return Err(SwitchError::Refused(why, payload));
        }
        let current = runtime.current();
        if target == current {
            return Err(SwitchError::Thrown(payload));
        }
        // One that has not begun ends here, and its parent has the payload.
        core.hold();
        let held = Held(target);
        let target = first_that_can_take(runtime, target, payload);
        if target == current {
            runtime.attend(THROWN, false);
            drop(held);
            return Err(SwitchError::Thrown(runtime.thrown.take().unwrap()));
        }
        let went = go(runtime, current, target, TypeInfo::of::<Out>());
        drop(held);
        if !went {
            return Err(SwitchError::Refused(Refused::OutOfMemory, unthrow(runtime)));
        }
        arrive(runtime, current).map_err(SwitchError::Thrown)
    }
}

/// Takes back what was noted as thrown.
fn unthrow(runtime: &Runtime) -> Payload {
    runtime.attend(THROWN, false);
    runtime.thrown.take().unwrap_or_else(|| Box::new(OutOfMemory))
}

/// Switches to an active greenlet that is to be thrown something. False, and nothing done, if there is no memory.
///
/// # Safety
///
/// `target` is active and not the running one, which is `current`.
unsafe fn go(
    runtime: &Runtime,
    current: *const Core,
    target: *const Core,
    awaits: TypeInfo,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        (*current).awaits.set(awaits);
        runtime.leaves(current);
        let (thread, raw) = (runtime.thread.get(), (*target).raw());
        let went = raw::Thread::switch_in_place(thread, (*current).raw(), raw)
            || raw::Thread::switch_moving(thread, raw);
        if !went {
            runtime.attend(ORPHAN, false);
        }
        went
    }
}

/// Whether somebody waits for the end of `core` in a kill: then that is where control goes at its end.
///
/// # Safety
///
/// It is valid.
pub(crate) unsafe fn is_being_killed(core: *const Core) -> bool {
    // SAFETY: a killer is counted.
    unsafe {
        let killer = (*core).killer.get();
        !killer.is_null() && (*killer).awaits.get().is::<Ended>()
    }
}

/// Kills `target`, and returns when it has finished.
///
/// # Safety
///
/// `target` is valid, held, and of this thread.
pub(crate) unsafe fn kill(target: *const Core) -> Result<(), Refused> {
    // SAFETY: `target` is valid, and so is its runtime.
    unsafe {
        let core = &*target;
        let runtime = &*core.runtime;
        if core.is_main() {
            return Err(Refused::Main);
        }
        match core.stage.get() {
            Stage::Finished => Ok(()),
            Stage::New => {
                Core::finish(target);
                Core::unparent(target);
                Ok(())
            }
            Stage::Active if target == runtime.current() => Err(Refused::Current),
            Stage::Active if unwind::panicking() || runtime.tracing.get() => Err(why_not(runtime)),
            Stage::Active => match kill_active(runtime, target) {
                Ok(()) => Ok(()),
                Err(None) => Err(Refused::OutOfMemory),
                Err(Some(payload)) => unwind::resume(payload),
            },
        }
    }
}

/// Kills a suspended greenlet to which there is no handle any more, or whose thread ends. It may
/// do so while a panic unwinds: strictly nested, for the killed one cannot switch then, only finish.
///
/// Where there is no memory to switch, or nothing can be unwound, its frames are given up and what they own is leaked.
///
/// # Safety
///
/// `target` is valid, held, of this thread, active, and not the running one.
pub(crate) unsafe fn kill_dropped(target: *const Core) {
    // SAFETY: the caller's promise.
    unsafe {
        let runtime = &*(*target).runtime;
        match kill_active(runtime, target) {
            Ok(()) => {}
            Err(None) => abandon(runtime, target),
            Err(Some(payload)) if unwind::panicking() => {
                // A second panic cannot leave this drop. Its message has been printed.
                unwind::discard(payload);
            }
            Err(Some(payload)) => unwind::resume(payload),
        }
    }
}

/// Throws its end into `target` and waits until it has finished. `Err(None)`: there was no memory. `Err(Some(…))`: this
/// was thrown here instead, by the killed one or by another.
unsafe fn kill_active(runtime: &Runtime, target: *const Core) -> Result<(), Option<Payload>> {
    // SAFETY: as in `kill` and `kill_dropped`.
    unsafe {
        if !unwind::POSSIBLE {
            abandon(runtime, target);
            return Ok(());
        }
        let current = runtime.current();
        (*current).hold();
        let before = (*target).killer.replace(current);
        if !before.is_null() {
            Core::release_later(before);
        }
        runtime.thrown.set(Some(Box::new(Killed(()))));
        runtime.attend(THROWN, true);
        let went = go(runtime, current, target, TypeInfo::of::<Ended>());
        let arrived = if went {
            arrive::<Ended>(runtime, current)
        } else {
            drop(unthrow(runtime));
            Ok(Ended)
        };
        if (*target).killer.get() == current {
            (*target).killer.set(ptr::null());
            Core::release(current);
        }
        if (*target).stage.get() == Stage::Finished {
            Core::unparent(target);
        }
        match arrived {
            Err(payload) => Err(Some(payload)),
            Ok(Ended) if went => Ok(()),
            Ok(Ended) => Err(None),
        }
    }
}

/// Gives up the frames of a suspended greenlet: no destructor runs, what they own is leaked.
unsafe fn abandon(runtime: &Runtime, target: *const Core) {
    // SAFETY: it is suspended; the creator of the greenlet promised that nobody reaches into its frames.
    unsafe {
        let released = raw::Thread::release(runtime.thread.get(), (*target).raw());
        debug_assert!(released.is_ok());
        Core::finish(target);
    }
}
