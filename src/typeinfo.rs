//! What type of value a greenlet waits for: one word that can be compared and printed.

use core::any::{TypeId, type_name};

/// A type, at run time: the function that describes it.
///
/// A function, since that has one address in a crate, whatever units the compiler splits the crate into; a constant has one
/// in each. Two crates may have one each of the same type's. Functions of different types return different things, so nobody
/// merges them.
#[derive(Clone, Copy)]
pub(crate) struct TypeInfo(fn() -> Description);

struct Description {
    id: TypeId,
    name: &'static str,
}

#[inline(never)]
fn describe<T: 'static>() -> Description {
    Description { id: TypeId::of::<T>(), name: type_name::<T>() }
}

impl TypeInfo {
    /// The description of `T`.
    #[inline(always)]
    pub(crate) const fn of<T: 'static>() -> TypeInfo {
        TypeInfo(describe::<T>)
    }

    /// Whether this describes `T`.
    #[inline(always)]
    pub(crate) fn is<T: 'static>(self) -> bool {
        self.0 as usize == describe::<T> as fn() -> Description as usize
            || self.has(TypeId::of::<T>())
    }

    #[cold]
    #[inline(never)]
    fn has(self, id: TypeId) -> bool {
        (self.0)().id == id
    }

    pub(crate) fn name(self) -> &'static str {
        (self.0)().name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The description of `T` from another crate.
    fn elsewhere<T: 'static>() -> TypeInfo {
        TypeInfo(|| Description { id: TypeId::of::<T>(), name: type_name::<T>() })
    }

    #[test]
    fn a_type_is_known_by_either_description_and_no_other_type_is() {
        assert!(TypeInfo::of::<u32>().is::<u32>());
        assert!(elsewhere::<u32>().is::<u32>());
        assert!(!TypeInfo::of::<u32>().is::<i32>());
        assert!(!elsewhere::<u32>().is::<i32>());
        assert_eq!(elsewhere::<u32>().name(), "u32");
    }
}
