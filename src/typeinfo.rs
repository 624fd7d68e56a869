//! What type of value a greenlet waits for: one pointer that can be compared and printed.

use core::any::{TypeId, type_name};

/// A type, at run time. Two of them may describe the same type from different addresses.
pub(crate) struct TypeInfo {
    id: TypeId,
    name: fn() -> &'static str,
}

impl TypeInfo {
    /// The description of `T`.
    #[inline(always)]
    pub(crate) const fn of<T: 'static>() -> &'static TypeInfo {
        const { &TypeInfo { id: TypeId::of::<T>(), name: type_name::<T> } }
    }

    /// Whether this describes `T`.
    #[inline(always)]
    pub(crate) fn is<T: 'static>(&self) -> bool {
        self.id == const { TypeId::of::<T>() }
    }

    pub(crate) fn name(&self) -> &'static str {
        (self.name)()
    }
}
