//! A channel: a queue of tasklets that wait to send, or of such that wait to receive, and what happens when two meet.
//!
//! | the second one | meets | `preference` says to prefer the other | else |
//! | --- | --- | --- | --- |
//! | sends | a receiver | the receiver runs next, and now | the receiver is the last of the runnables |
//! | receives | a sender | the sender runs next, and now | the sender is the last of the runnables |
//!
//! With `schedule_all` the other one is the last of the runnables and the second one's turn is over as well. If the other one
//! belongs to another thread it becomes runnable there, and nobody switches.

use super::ffi::*;
use super::idle::idle;
use super::module;
use super::scheduler::{self, Scheduler, give_up, is_free, is_untrapped, push_front};
use super::tasklet::{BLOCK_TRAP, Queue, Tasklet};
use super::transfer::{Refused, transfer};
use super::{run, throw};
use crate::ffi::*;
use core::ffi::{c_int, c_void};
use core::{mem, ptr};

#[repr(C)]
pub struct Channel {
    pub base: PyObject,
    pub weakrefs: *mut PyObject,
    /// Those that wait, each of them held.
    pub first: *mut Tasklet,
    pub last: *mut Tasklet,
    /// How many; negative if they wait to receive.
    pub balance: isize,
    pub preference: i8,
    pub schedule_all: bool,
    pub closing: bool,
}

const SEND: i8 = 1;
const RECEIVE: i8 = -1;

/// What crosses: a value, or an exception (or a class of those) to be raised. Owned.
struct Message {
    value: *mut PyObject,
    error: *mut PyObject,
}

impl Message {
    const NOTHING: Message = Message { value: ptr::null_mut(), error: ptr::null_mut() };

    /// Out of the one that waits to send.
    #[inline(always)]
    unsafe fn take(t: *mut Tasklet) -> Message {
        // SAFETY: a valid tasklet, here and below.
        unsafe {
            let error = mem::replace(&mut (*t).error, ptr::null_mut());
            let value = mem::replace(&mut (*t).value, ptr::null_mut());
            if value == t.cast() {
                incref(value);
            }
            Message { value, error }
        }
    }

    /// Into one that will get it, and has nothing there.
    #[inline(always)]
    unsafe fn put(self, t: *mut Tasklet) {
        // SAFETY: as above.
        unsafe {
            (*t).error = self.error;
            if self.value.is_null() {
                (*t).value = ptr::null_mut();
            } else {
                Tasklet::set_value(t, self.value);
            }
        }
    }

    unsafe fn drop(self) {
        // SAFETY: it is owned.
        unsafe { give_up([self.value, self.error]) }
    }
}

/// Puts `t` at the end of the queue, or before `place`. Takes references to both.
unsafe fn link(c: *mut Channel, t: *mut Tasklet, direction: i8, place: *mut Tasklet) {
    // SAFETY: the links of the queue are valid; `t` is in no queue.
    unsafe {
        let prev = if place.is_null() { (*c).last } else { (*place).prev };
        (*t).prev = prev;
        (*t).next = place;
        if prev.is_null() {
            (*c).first = t
        } else {
            (*prev).next = t
        }
        if place.is_null() {
            (*c).last = t
        } else {
            (*place).prev = t
        }
        (*t).queue = Queue::Channel;
        (*t).channel = c;
        (*t).direction = direction;
        (*c).balance += direction as isize;
    }
}

/// Undoes [`Tasklet::leave_queue`] for one that was before `place` (null: the last one).
///
/// # Safety
///
/// Nothing has changed since; the references are owned.
pub unsafe fn relink(c: *mut Channel, t: *mut Tasklet, direction: i8, place: *mut Tasklet) {
    // SAFETY: the caller's promise.
    unsafe { link(c, t, direction, place) }
}

/// Takes `t` out of the queue, with the reference that it was. The channel's reference is the caller's now, too.
///
/// # Safety
///
/// It is there.
#[inline]
pub unsafe fn unlink(c: *mut Channel, t: *mut Tasklet) -> *mut Tasklet {
    // SAFETY: the caller's promise.
    unsafe {
        let (prev, next) = ((*t).prev, (*t).next);
        if prev.is_null() {
            (*c).first = next
        } else {
            (*prev).next = next
        }
        if next.is_null() {
            (*c).last = prev
        } else {
            (*next).prev = prev
        }
        (*t).prev = ptr::null_mut();
        (*t).next = ptr::null_mut();
        (*t).queue = Queue::None;
        (*t).channel = ptr::null_mut();
        (*c).balance -= (*t).direction as isize;
        (*t).direction = 0;
        t
    }
}

/// Sends a message, which is taken, or receives one. Answers what `send` or `receive` returns; null with an error.
///
/// # Safety
///
/// The GIL is held, and the caller holds the channel.
#[inline]
unsafe fn meet(c: *mut Channel, direction: i8, message: Message) -> *mut PyObject {
    // SAFETY: the caller's promise. From the last look at the channel to the switch nothing runs.
    unsafe {
        let s = scheduler::here();
        if s.is_null() || !is_free(s) {
            message.drop();
            return ptr::null_mut();
        }
        let me = (*s).current;
        if !(*me).value.is_null() {
            give_up([Tasklet::set_value(me, ptr::null_mut())]);
        }
        if module::is_heard() && !notify(s, c, direction) {
            message.drop();
            return ptr::null_mut();
        }
        if (*c).balance * (direction as isize) < 0 {
            found(s, c, direction, message)
        } else {
            wait(s, c, direction, message)
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn notify(s: *mut Scheduler, c: *mut Channel, direction: i8) -> bool {
    // SAFETY: as in `meet`.
    unsafe {
        let blocks = (*c).balance * (direction as isize) >= 0;
        module::notify_channel(s, c.cast(), direction == SEND, blocks)
    }
}

/// There is one that waits.
#[inline(always)]
unsafe fn found(
    s: *mut Scheduler,
    c: *mut Channel,
    direction: i8,
    message: Message,
) -> *mut PyObject {
    // SAFETY: as in `meet`. The channel's reference is not the last one.
    unsafe {
        let me = (*s).current;
        let other = (*c).first;
        let here = (*other).scheduler == s;
        let prefers = here && !(*c).schedule_all && (*c).preference == -direction;
        if (prefers || (here && (*c).schedule_all)) && !is_untrapped(s) {
            message.drop();
            return ptr::null_mut();
        }
        unlink(c, other);
        decref(c.cast());
        // What each of the two gets.
        let mine = if direction == SEND {
            message.put(other);
            Message::NOTHING
        } else {
            Message::take(other)
        };
        if !prefers {
            if !here {
                run::make_runnable((*other).scheduler, other);
            } else {
                scheduler::push_back(s, other);
            }
            if !here || !(*c).schedule_all {
                return finish(mine);
            }
        } else {
            scheduler::push_next(s, other);
        }
        mine.put(me);
        match transfer(s, if prefers { other } else { (*me).next }) {
            Ok(value) => value,
            Err(Refused) => {
                // As it was: the other one is still the last, or the next, runnable.
                let back = if direction == SEND {
                    Message::take(other)
                } else {
                    let mine = Message::take(me);
                    mine.put(other);
                    Message::NOTHING
                };
                scheduler::unlink(s, other);
                relink(new_ref(c), other, -direction, (*c).first);
                back.drop();
                ptr::null_mut()
            }
        }
    }
}

/// What is returned for what was got without a switch.
#[inline(always)]
unsafe fn finish(mine: Message) -> *mut PyObject {
    // SAFETY: the message is owned.
    unsafe {
        if !mine.error.is_null() {
            throw::raise_object(mine.error);
            return ptr::null_mut();
        }
        if mine.value.is_null() { new_none() } else { mine.value }
    }
}

/// There is nobody: waits for one.
#[inline(always)]
unsafe fn wait(
    s: *mut Scheduler,
    c: *mut Channel,
    direction: i8,
    message: Message,
) -> *mut PyObject {
    // SAFETY: as in `meet`.
    unsafe {
        let me = (*s).current;
        if (*me).flags & BLOCK_TRAP != 0 || (*c).closing || (*s).trap != 0 {
            return refuse(s, c, message);
        }
        message.put(me);
        let held = scheduler::unlink(s, me);
        link(new_ref(c), held, direction, ptr::null_mut());
        let mut next = (*s).head;
        if next.is_null() {
            next = idle(s, false);
        }
        if !next.is_null()
            && let Ok(value) = transfer(s, next)
        {
            return value;
        }
        undo(s, me)
    }
}

/// The current tasklet could not leave: it is in the ring again, if it is not yet, and has nothing to send.
#[cold]
unsafe fn undo(s: *mut Scheduler, me: *mut Tasklet) -> *mut PyObject {
    // SAFETY: it runs; the rest is given up when everything is in its place.
    unsafe {
        let (queued, channel) = if (*me).queue == Queue::Channel {
            Tasklet::leave_queue(me)
        } else {
            (ptr::null_mut(), ptr::null_mut())
        };
        if !queued.is_null() {
            push_front(s, queued);
        }
        (*s).head = me;
        let message = Message::take(me);
        give_up([channel.cast()]);
        message.drop();
        ptr::null_mut()
    }
}

#[cold]
unsafe fn refuse(s: *mut Scheduler, c: *mut Channel, message: Message) -> *mut PyObject {
    // SAFETY: as in `meet`.
    unsafe {
        message.drop();
        if (*(*s).current).flags & BLOCK_TRAP != 0 {
            raise(PyExc_RuntimeError, c"this tasklet does not like to be blocked.")
        } else if (*c).closing {
            raise(PyExc_ValueError, c"Send/receive operation on a closed channel")
        } else {
            is_untrapped(s);
            ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_send(c: *mut Channel, value: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter, as all below.
    unsafe { meet(c, SEND, Message { value: new_ref(value), error: ptr::null_mut() }) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_receive(c: *mut Channel, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { meet(c, RECEIVE, Message::NOTHING) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_next(c: *mut Channel) -> *mut PyObject {
    // SAFETY: as above. Null without an error is the end.
    unsafe {
        if (*c).closing && (*c).balance <= 0 {
            return ptr::null_mut();
        }
        meet(c, RECEIVE, Message::NOTHING)
    }
}

/// Sends an exception, which is taken.
unsafe fn send_error(c: *mut Channel, error: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        if error.is_null() {
            return error;
        }
        meet(c, SEND, Message { value: ptr::null_mut(), error })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_send_exception(
    c: *mut Channel,
    args: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above.
    unsafe { send_error(c, throw::make(args, c"send_exception")) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_send_throw(c: *mut Channel, args: *mut PyObject) -> *mut PyObject {
    let mut parts = [ptr::null_mut::<PyObject>(); 3];
    let [class, value, traceback] = &mut parts;
    // SAFETY: as above; three places for three objects.
    unsafe {
        let format = c"O|OO:send_throw".as_ptr();
        if PyArg_ParseTuple(
            args,
            format,
            class as *mut *mut PyObject,
            value as *mut *mut PyObject,
            traceback as *mut *mut PyObject,
        ) == 0
        {
            return ptr::null_mut();
        }
        send_error(c, throw::from_parts(parts))
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_send_sequence(
    c: *mut Channel,
    sequence: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above. The channel and the sequence are held by the call.
    unsafe {
        let iterator = PyObject_GetIter(sequence);
        if iterator.is_null() {
            return iterator;
        }
        let mut count = 0;
        loop {
            let value = PyIter_Next(iterator);
            if value.is_null() {
                break;
            }
            let sent = meet(c, SEND, Message { value, error: ptr::null_mut() });
            if sent.is_null() {
                break;
            }
            decref(sent);
            count += 1;
        }
        give_up([iterator]);
        if PyErr_Occurred().is_null() { PyLong_FromSsize_t(count) } else { ptr::null_mut() }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_open(c: *mut Channel, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        (*c).closing = false;
        new_none()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_close(c: *mut Channel, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: as above.
    unsafe {
        (*c).closing = true;
        new_none()
    }
}

/// `tp_new`: subclasses may take arguments.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_new(
    class: *mut PyType,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as above; a new object is all zeros.
    unsafe {
        let given = PyTuple_Size(args) != 0 || (!kwargs.is_null() && PyDict_Size(kwargs) != 0);
        if given && class == GrChannel {
            return raise(PyExc_TypeError, c"channel() takes no arguments");
        }
        let c: *mut Channel = gr_alloc(class).cast();
        if !c.is_null() {
            (*c).preference = RECEIVE;
        }
        c.cast()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_traverse(c: *mut Channel, visit: Visit, arg: *mut c_void) -> c_int {
    // SAFETY: called by the collector: nothing runs meanwhile.
    unsafe {
        let mut result = visit(class(c.cast()).cast(), arg);
        let mut t = (*c).first;
        while !t.is_null() && result == 0 {
            result = visit(t.cast(), arg);
            t = (*t).next;
        }
        result
    }
}

/// `tp_clear`: those that wait hold it, and give that up themselves.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_clear(_: *mut Channel) -> c_int {
    0
}

/// `tp_dealloc`: who waits holds it, so nobody does.
#[unsafe(no_mangle)]
unsafe extern "C" fn sl_channel_dealloc(c: *mut Channel) {
    // SAFETY: called by the interpreter.
    unsafe {
        PyObject_GC_UnTrack(c.cast());
        if !(*c).weakrefs.is_null() {
            PyObject_ClearWeakRefs(c.cast());
        }
        sl_free(c.cast());
    }
}
