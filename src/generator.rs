//! Generators: a closure that yields, from any depth of calls, as an iterator.

use crate::error::SwitchError;
use crate::greenlet::{AnyGreenlet, Greenlet};
use crate::object::{Core, Stage};
use crate::switch;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr;

/// What a generator is sent. Nobody else can make one.
struct Resume;

/// What somebody who asks for the next value waits for: a value, or the end.
struct Step<T>(Option<T>);

/// An iterator over what a closure yields, from any depth of calls.
///
/// ```
/// use greenlet::{Generator, Yielder};
///
/// enum Tree { Leaf(u32), Node(Vec<Tree>) }
///
/// fn walk(tree: &Tree, out: &Yielder<u32>) {
///     match tree {
///         Tree::Leaf(value) => out.yield_(*value),
///         Tree::Node(children) => children.iter().for_each(|child| walk(child, out)),
///     }
/// }
///
/// use Tree::*;
/// let tree = Node(vec![Leaf(1), Node(vec![Leaf(2), Node(vec![Leaf(3)])])]);
/// // SAFETY: nothing outside points into the frames of `walk`.
/// let leaves = unsafe { Generator::new(move |out: &Yielder<u32>| walk(&tree, out)) };
/// assert_eq!(leaves.collect::<Vec<_>>(), [1, 2, 3]);
/// ```
///
/// The closure begins at the first call of `next`. A panic in it continues in whoever called `next`. Dropping the generator
/// kills what is suspended, so that its destructors run.
pub struct Generator<T: 'static> {
    greenlet: Greenlet<Resume, Step<T>>,
}

/// The generator's side: where its closure yields to.
pub struct Yielder<T: 'static> {
    me: *const Core,
    _value: PhantomData<fn(T)>,
}

impl<T: 'static> Generator<T> {
    /// A generator that runs `body`.
    ///
    /// # Safety
    ///
    /// As for [`Greenlet::new`]: nothing outside reaches into the frames of `body` while it is suspended.
    ///
    /// # Panics
    ///
    /// As [`Greenlet::new`].
    pub unsafe fn new<F>(body: F) -> Self
    where
        F: FnOnce(&Yielder<T>) + 'static,
    {
        let run = move |Resume| {
            // SAFETY: the state of this thread.
            let me = unsafe { (*crate::runtime::Runtime::of_this_thread()).current() };
            body(&Yielder { me, _value: PhantomData });
            Step(None)
        };
        // SAFETY: the caller's promise.
        Generator { greenlet: unsafe { Greenlet::with_parent(&AnyGreenlet::main(), run) } }
    }

    /// The greenlet that the closure runs in.
    pub fn greenlet(&self) -> &AnyGreenlet {
        &self.greenlet
    }
}

impl<T: 'static> Iterator for Generator<T> {
    type Item = T;

    /// The next value that the closure yields; `None` once it has returned, and ever after.
    ///
    /// # Panics
    ///
    /// Goes on with a panic of the closure. Panics if it is called from within the closure, or while a panic is unwinding, or if
    /// there is no memory.
    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        let core: *const Core = self.greenlet.core();
        // SAFETY: the handle holds it; the runtime and main live as long as any greenlet.
        unsafe {
            let runtime = (*core).runtime;
            let main = &raw const (*runtime).main;
            if (*runtime).current() != main {
                return self.next_for_child();
            }
            let take = |Step(value): Step<T>| value;
            switch::send_from(runtime, main, core, Resume, take, |error| self.no_value(error))
        }
    }
}

impl<T: 'static> Generator<T> {
    /// Another greenlet than main asks for the next value: while it waits it is the generator's parent. In
    /// between the generator is nobody's child but main's, so that a generator in a greenlet's frames does not keep
    /// that greenlet.
    #[inline(never)]
    fn next_for_child(&self) -> Option<T> {
        let core: *const Core = self.greenlet.core();
        // SAFETY: the handle holds it; the running greenlet is valid, and so is main.
        unsafe {
            if (*core).stage.get() == Stage::Finished {
                return None;
            }
            let runtime = (*core).runtime;
            let asks = AnyGreenlet::of((*runtime).current());
            if let Err(why) = self.greenlet.set_parent(&asks) {
                panic!("a generator was asked for a value by itself or a child of it: {why}");
            }
            let step = self.greenlet.try_switch(Resume);
            Core::set_parent(core, &raw const (*runtime).main);
            step.map_or_else(|error| self.no_value(error), |Step(value)| value)
        }
    }

    #[cold]
    #[inline(never)]
    fn no_value(&self, error: SwitchError<Resume>) -> Option<T> {
        if matches!(error, SwitchError::Refused(..)) && self.greenlet.is_finished() {
            return None;
        }
        error.raise()
    }
}

impl<T: 'static> FusedIterator for Generator<T> {}

impl<T: 'static> fmt::Debug for Generator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Generator").field(self.greenlet()).finish()
    }
}

impl<T: 'static> Yielder<T> {
    /// Gives `value` to whoever asked for the next one, and waits until the one after it is asked for.
    ///
    /// # Panics
    ///
    /// If it is called outside the generator's own greenlet, or while a panic is unwinding, or if there is no memory. Unwinds
    /// when the generator is dropped.
    #[inline(always)]
    pub fn yield_(&self, value: T) {
        // SAFETY: a yielder is lent to the closure of a generator, which keeps the core as long as the closure runs.
        unsafe {
            let me = self.me;
            let runtime = (*me).runtime;
            assert!(
                ptr::eq((*runtime).current(), me),
                "a generator's yielder was used in another greenlet"
            );
            let (parent, step) = ((*me).parent.get(), Step(Some(value)));
            switch::send_from(runtime, me, parent, step, |Resume| {}, |error| error.raise());
        }
    }
}

impl<T: 'static> fmt::Debug for Yielder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
