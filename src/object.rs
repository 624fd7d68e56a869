//! The object behind a handle: the engine's record, the count of handles, the parent, and the closure.
//!
//! One allocation a greenlet. Everything here is per thread: no atomics, and plain cells.

use crate::error::OutOfMemory;
use crate::raw;
use crate::runtime::Runtime;
use crate::switch;
use crate::tasklet::Wake;
use crate::transit::Transit;
use crate::typeinfo::TypeInfo;
use crate::unwind;
use alloc::alloc::{Layout, alloc, dealloc};
use core::cell::{Cell, UnsafeCell};
use core::mem::ManuallyDrop;
use core::ptr;

/// How far a greenlet's life has come. Between `New` and `Finished` it runs or is suspended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    New,
    Active,
    Finished,
}

/// What a finished greenlet waits for.
struct Nothing;

/// What differs between greenlets by the type of their closure.
pub(crate) struct Class {
    /// Runs the closure in the new greenlet.
    pub(crate) run: raw::Body,
    /// Drops the closure of one that never ran.
    drop_closure: unsafe fn(*const Core),
    /// Drops what the closure has returned, where that has been put in transit and will not be taken out.
    pub(crate) drop_result: unsafe fn(&Transit),
    layout: Layout,
    /// What it takes first.
    takes: TypeInfo,
}

/// What is common to all greenlets.
#[repr(C)]
pub(crate) struct Core {
    /// First, so that the engine's pointers and ours are the same.
    pub(crate) record: UnsafeCell<raw::Greenlet>,
    /// Handles, and kills in which it waits. The one that runs is alive without being counted.
    pub(crate) count: Cell<usize>,
    pub(crate) runtime: *const Runtime,
    /// The type that it waits for, unless it runs; [`Nothing`] after it has finished.
    pub(crate) awaits: Cell<TypeInfo>,
    /// Has this one among its `children`. Null for main only.
    pub(crate) parent: Cell<*const Core>,
    /// Who is inside a kill of this one, and waits for its end. Counted.
    pub(crate) killer: Cell<*const Core>,
    /// Its neighbours in the list of the thread's active ones.
    prev: Cell<*const Core>,
    pub(crate) next: Cell<*const Core>,
    pub(crate) class: &'static Class,
    /// How many have it as their parent. It is kept as long as there are any.
    children: Cell<u32>,
    pub(crate) stage: Cell<Stage>,
}

/// A greenlet with its closure.
#[repr(C)]
struct WithClosure<F> {
    core: Core,
    closure: UnsafeCell<ManuallyDrop<F>>,
}

impl Core {
    /// The main greenlet of a thread.
    pub(crate) const fn main(runtime: *const Runtime) -> Core {
        const CLASS: &Class = &Class {
            run: no_body,
            drop_closure: no_closure,
            drop_result: no_result,
            layout: Layout::new::<Core>(),
            takes: TypeInfo::of::<Nothing>(),
        };
        unsafe extern "C" fn no_body(_: *mut core::ffi::c_void) -> ! {
            unreachable!("main has begun")
        }
        unsafe fn no_closure(_: *const Core) {}
        unsafe fn no_result(_: &Transit) {}
        Core {
            record: UnsafeCell::new(raw::Greenlet::new()),
            count: Cell::new(0),
            runtime,
            awaits: Cell::new(TypeInfo::of::<Nothing>()),
            parent: Cell::new(ptr::null()),
            killer: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
            class: CLASS,
            children: Cell::new(0),
            stage: Cell::new(Stage::Active),
        }
    }

    /// A greenlet that has not begun, with one handle to it.
    ///
    /// # Safety
    ///
    /// `parent` is valid.
    pub(crate) unsafe fn create<F, In, Out>(
        parent: *const Core,
        closure: F,
    ) -> Result<*const Core, (OutOfMemory, F)>
    where
        F: FnOnce(In) -> Out + 'static,
        In: 'static,
        Out: 'static,
    {
        let class = const {
            &Class {
                run: switch::run::<F, In, Out>,
                drop_closure: drop_closure::<F>,
                drop_result: drop_result::<Out>,
                layout: Layout::new::<WithClosure<F>>(),
                takes: TypeInfo::of::<In>(),
            }
        };
        // SAFETY: the layout is not empty; `parent` is valid.
        unsafe {
            let block: *mut WithClosure<F> = alloc(class.layout).cast();
            if block.is_null() {
                return Err((OutOfMemory, closure));
            }
            (*parent).add_child();
            block.write(WithClosure {
                core: Core {
                    count: Cell::new(1),
                    awaits: Cell::new(TypeInfo::of::<In>()),
                    parent: Cell::new(parent),
                    class,
                    stage: Cell::new(Stage::New),
                    ..Core::main((*parent).runtime)
                },
                closure: UnsafeCell::new(ManuallyDrop::new(closure)),
            });
            Ok(block.cast_const().cast())
        }
    }

    /// Moves the closure out.
    ///
    /// # Safety
    ///
    /// The greenlet was created with an `F`, which is taken or dropped once.
    pub(crate) unsafe fn take_closure<F>(this: *const Core) -> F {
        let this: *const WithClosure<F> = this.cast();
        // SAFETY: the caller's promise.
        unsafe { ManuallyDrop::take(&mut *(*this).closure.get()) }
    }

    /// The engine's record.
    #[inline(always)]
    pub(crate) fn raw(&self) -> *mut raw::Greenlet {
        self.record.get()
    }

    pub(crate) fn body(&self) -> raw::Body {
        self.class.run
    }

    #[inline(always)]
    pub(crate) fn hold(&self) {
        let count = self.count.get() + 1;
        if count > isize::MAX as usize {
            too_many(); // by forgetting handles; a wrapped count would be a use after free
        }
        self.count.set(count);
    }

    #[inline(always)]
    fn add_child(&self) {
        // At a hundred bytes each, four thousand million do not fit on any machine of today; but a wrapped count would
        // be a use after free.
        self.children.set(self.children.get().checked_add(1).expect("too many children"));
    }

    /// Changes the parent.
    ///
    /// # Safety
    ///
    /// Both are valid, and the new parent is no descendant.
    #[inline(always)]
    pub(crate) unsafe fn set_parent(this: *const Core, parent: *const Core) {
        // SAFETY: a parent is kept by its children.
        unsafe {
            (*parent).add_child();
            let before = (*this).parent.replace(parent);
            let children = (*before).children.get() - 1;
            (*before).children.set(children);
            if children == 0 && (*before).count.get() == 0 {
                Self::last(before);
            }
        }
    }

    /// A finished greenlet needs its parent no more, unless it has children, whose ancestor that one is. It is given main, so
    /// that a finished child in its parent's frames does not keep the parent.
    ///
    /// # Safety
    ///
    /// It is valid and has finished.
    pub(crate) unsafe fn unparent(this: *const Core) {
        // SAFETY: main has no ancestors, so there is no cycle.
        unsafe {
            let main = &raw const (*(*this).runtime).main;
            if !(*this).has_children() && (*this).parent.get() != main {
                Self::set_parent(this, main);
            }
        }
    }

    /// The same for one that leaves for `parent`, which therefore is not freed, whatever counts it has: nothing of the
    /// user's runs.
    ///
    /// # Safety
    ///
    /// As for [`unparent`](Self::unparent); `parent` is its parent.
    pub(crate) unsafe fn unparent_for(this: *const Core, parent: *const Core) {
        // SAFETY: main has no ancestors, so there is no cycle.
        unsafe {
            let main = &raw const (*(*this).runtime).main;
            if !(*this).has_children() && parent != main {
                (*main).add_child();
                (*this).parent.set(main);
                (*parent).children.set((*parent).children.get() - 1);
            }
        }
    }

    #[inline(always)]
    pub(crate) fn has_children(&self) -> bool {
        self.children.get() != 0
    }

    /// Whether only the tasklets' scheduler may continue it: it is the greenlet of a tasklet, or a tasklet is suspended in it.
    pub(crate) fn is_scheduled(&self) -> bool {
        let waits = self.awaits.get().is::<Wake>() && !self.is_current();
        (waits || self.class.takes.is::<Wake>()) && self.stage.get() != Stage::Finished
    }

    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: a core's runtime lives as long as it does.
        ptr::eq(self, unsafe { (*self.runtime).current() })
    }

    pub(crate) fn is_main(&self) -> bool {
        self.parent.get().is_null()
    }

    /// It is finished from now on. Drops the closure if it never ran, which may panic; all else is done by then.
    ///
    /// # Safety
    ///
    /// It has not begun, or it is about to leave for ever; `this` is held by the caller.
    pub(crate) unsafe fn finish(this: *const Core) {
        // SAFETY: the caller's promise.
        unsafe {
            let stage = (*this).stage.replace(Stage::Finished);
            (*this).awaits.set(TypeInfo::of::<Nothing>());
            match stage {
                Stage::New => ((*this).class.drop_closure)(this),
                Stage::Active => Self::unlink(this),
                Stage::Finished => {}
            }
        }
    }

    /// Puts it into the list of active greenlets.
    ///
    /// # Safety
    ///
    /// It is valid and not in the list.
    pub(crate) unsafe fn link(this: *const Core) {
        // SAFETY: all in the list are valid.
        unsafe {
            let first = &(*(*this).runtime).active;
            let next = first.replace(this);
            (*this).prev.set(ptr::null());
            (*this).next.set(next);
            if !next.is_null() {
                (*next).prev.set(this);
            }
        }
    }

    /// Takes it out of the list of active greenlets.
    ///
    /// # Safety
    ///
    /// It is valid and in the list.
    pub(crate) unsafe fn unlink(this: *const Core) {
        // SAFETY: all in the list are valid.
        unsafe {
            let (prev, next) = ((*this).prev.get(), (*this).next.get());
            if prev.is_null() {
                (*(*this).runtime).active.set(next);
            } else {
                (*prev).next.set(next);
            }
            if !next.is_null() {
                (*next).prev.set(prev);
            }
        }
    }

    /// Gives one count back. The last one kills a suspended greenlet and frees the object.
    ///
    /// # Safety
    ///
    /// `this` is valid, and the count was the caller's.
    #[inline(always)]
    pub(crate) unsafe fn release(this: *const Core) {
        // SAFETY: the caller's promise.
        unsafe {
            let count = (*this).count.get() - 1;
            (*this).count.set(count);
            if count == 0 && (*this).children.get() == 0 {
                Self::last(this);
            }
        }
    }

    /// Gives one count back where no code of the user's may run. If it is the last one, the object is leaked: that takes
    /// a greenlet which nobody can reach, and an allocation that failed or a kill that was interrupted.
    pub(crate) unsafe fn release_later(this: *const Core) {
        // SAFETY: the caller's promise is that of `release`.
        unsafe {
            if (*this).count.get() > 1 || (*this).children.get() != 0 {
                (*this).count.set((*this).count.get() - 1);
            }
        }
    }

    #[inline(never)]
    unsafe fn last(this: *const Core) {
        // SAFETY: nobody else has a count of `this`; its parent is held by it. A finished one is not main and does not run, and
        // nothing of the user's is left in it.
        unsafe {
            if (*this).stage.get() != Stage::Finished {
                return Self::last_slowly(this);
            }
            let parent = Self::free(this);
            if (*parent).children.get() == 0 && (*parent).count.get() == 0 {
                Self::last_slowly(parent);
            }
        }
    }

    /// Frees one that is no more needed, and answers its parent, which has a child less.
    #[inline(always)]
    unsafe fn free(this: *const Core) -> *const Core {
        // SAFETY: the caller's promise; its parent is held by it.
        unsafe {
            let parent = (*this).parent.get();
            dealloc(this.cast_mut().cast(), (*this).class.layout);
            (*parent).children.set((*parent).children.get() - 1);
            parent
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn last_slowly(mut this: *const Core) {
        // A loop, not a recursion: a chain of parents may be a million long.
        // SAFETY: nobody else has a count of `this`; its parent is held by it.
        unsafe {
            let mut payload = None;
            loop {
                let core = &*this;
                if core.is_main() {
                    Runtime::free(core.runtime);
                    break;
                }
                if this == (*core.runtime).current() {
                    break; // seen to when it leaves
                }
                // What is dropped here may see the greenlet, so it has to stay until that is over.
                core.hold();
                let finished = match core.stage.get() {
                    Stage::New => unwind::catch(|| Self::finish(this)),
                    Stage::Active => unwind::catch(|| switch::kill_dropped(this)),
                    Stage::Finished => Ok(()),
                };
                if let Err(another) = finished {
                    match payload {
                        None => payload = Some(another),
                        Some(_) => unwind::discard(another),
                    }
                }
                let count = core.count.get() - 1;
                core.count.set(count);
                let kept = count != 0 || core.children.get() != 0;
                if kept || core.stage.get() == Stage::Active {
                    break; // somebody took a handle; or it survived and cannot be reached: leaked
                }
                this = Self::free(this);
                if (*this).children.get() != 0 || (*this).count.get() != 0 {
                    break;
                }
            }
            match payload {
                None => {}
                // A second panic cannot leave this drop.
                Some(payload) if unwind::panicking() => unwind::discard(payload),
                Some(payload) => unwind::resume(payload),
            }
        }
    }
}

#[cold]
fn too_many() -> ! {
    std::process::abort()
}

unsafe fn drop_closure<F>(this: *const Core) {
    // SAFETY: the greenlet was created with an `F` and never ran.
    drop(unsafe { Core::take_closure::<F>(this) });
}

unsafe fn drop_result<Out>(transit: &Transit) {
    // SAFETY: an `Out` was put in, says the caller, and is taken out once.
    drop(unsafe { transit.take::<Out>() });
}
