//! Rust values, as terms lend them.

use crate::heap::resource::Anything;
use crate::{Atomics, Counters};
use std::any::Any;
use std::sync::Arc;

/// A Rust value that a term points to, lent for as long as the term.
///
/// ```
/// # use shared_term::{Region, term::View};
/// use std::sync::{Arc, Mutex};
/// let log = Arc::new(Mutex::new(Vec::<&str>::new()));
/// let r = Region::build(|h| h.resource(Arc::clone(&log)));
/// let View::Resource(resource) = r.root().view() else { panic!() };
/// resource.downcast::<Mutex<Vec<&str>>>().unwrap().lock().unwrap().push("hello");
/// assert!(resource.downcast::<String>().is_none());
/// assert_eq!(*log.lock().unwrap(), ["hello"]);
/// ```
#[derive(Clone, Copy)]
pub struct Resource<'h> {
    pub(super) value: &'h Anything,
    /// What was given to [`Heap::resource`](crate::heap::Heap::resource); none of a handle on an array.
    pub(super) shared: Option<&'h Arc<Anything>>,
}

impl<'h> Resource<'h> {
    /// The value, if it is a `T`. No reference count moves.
    ///
    /// ```
    /// # use shared_term::Region;
    /// use std::sync::Arc;
    /// let name = Arc::new(String::from("db"));
    /// let r = Region::build(|h| h.resource(name.clone()));
    /// assert_eq!(r.root().as_resource().unwrap().downcast::<String>(), Some(&*name));
    /// assert_eq!(Arc::strong_count(&name), 2);
    /// ```
    pub fn downcast<T: Any + Send + Sync>(self) -> Option<&'h T> {
        self.value.downcast_ref()
    }

    /// A handle of one's own on the value, if it is a `T`: one reference count. Of a handle on an array, a clone in an `Arc`
    /// of its own, which takes memory, and aborts without, as every `Arc` does; [`Term::get`](super::Term::get) takes none.
    ///
    /// ```
    /// # use shared_term::Region;
    /// use std::sync::Arc;
    /// let r = Region::build(|h| h.resource(Arc::new(String::from("db"))));
    /// let kept = r.root().as_resource().unwrap().to_arc::<String>().unwrap();
    /// drop(r);
    /// assert_eq!(*kept, "db");
    /// ```
    pub fn to_arc<T: Any + Send + Sync>(self) -> Option<Arc<T>> {
        fn again<H: Any + Send + Sync + Clone>(value: &Anything) -> Option<Arc<Anything>> {
            let handle = value.downcast_ref::<H>()?.clone();
            Some(Arc::new(handle))
        }
        let handle = |value| {
            again::<Counters>(value).or_else(|| again::<Atomics<i64>>(value)).or_else(|| again::<Atomics<u64>>(value))
        };
        self.value.is::<T>().then(|| self.shared.cloned().or_else(|| handle(self.value)))??.downcast().ok()
    }

    /// What says whether two resources are the same: the address of the value, or of the array where the value is a
    /// handle on one.
    pub(crate) fn address(self) -> usize {
        if let Some(counters) = self.downcast::<Counters>() {
            counters.address()
        } else if let Some(atomics) = self.downcast::<Atomics<i64>>() {
            atomics.address()
        } else if let Some(atomics) = self.downcast::<Atomics<u64>>() {
            atomics.address()
        } else {
            std::ptr::from_ref(self.value).cast::<()>().addr()
        }
    }
}

impl std::fmt::Debug for Resource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resource({:#x})", self.address())
    }
}
