//! A value with several owners, counted: what an `Arc` is, but that making one can fail (invariant 10).
//!
//! No weak handles, and no conversion: what users share with this crate stays in an `Arc` or a `Bytes` of theirs, and this
//! is put around it once.

use super::{HeapError, pool};
use crate::sync::mutation::{Mutation, mutated, ordering};
use crate::term::word::Word;
use std::alloc::Layout;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic as plain;

/// A count of owners. Handles count by atomics of `std` also in models, where each modelled operation multiplies the
/// executions; one model has them count by its own (`loom-tests/tests/shared.rs`).
pub(crate) trait Count {
    /// One owner.
    fn one() -> Self;
    /// One more.
    fn add(&self);
    /// One less. `true`: it was the last, and all uses by the others came before.
    fn give_up(&self) -> bool;
}

macro_rules! count {
    ($($path:ident)::+) => {
        impl Count for $($path)::+::AtomicUsize {
            #[inline(always)]
            fn one() -> Self {
                Self::new(1)
            }

            #[inline(always)]
            fn add(&self) {
                // Relaxed: a new owner needs no ordering; giving one up does. (Nobody can make as many as overflow it: each
                // takes memory.)
                self.fetch_add(1, plain::Ordering::Relaxed);
            }

            #[inline(always)]
            fn give_up(&self) -> bool {
                // Release: pairs with the fence of the last owner, by the chain of these subtractions: what this owner has
                // read it has read before the value goes.
                let order = ordering(Mutation::SharedDropRelaxed, plain::Ordering::Release);
                if self.fetch_sub(1, order) != 1 {
                    return false;
                }
                if !mutated(Mutation::SharedDropNoFence) {
                    // Pairs with the subtractions of the others.
                    $($path)::+::fence(plain::Ordering::Acquire);
                }
                true
            }
        }
    };
}

count!(plain);
#[cfg(all(loom, feature = "loom"))]
count!(crate::sync::atomic);

#[repr(C)]
struct Block<T, C> {
    count: C,
    value: T,
}

/// See the [module](self).
pub(crate) struct Shared<T, C: Count = plain::AtomicUsize> {
    block: NonNull<Block<T, C>>,
    owned: PhantomData<Block<T, C>>,
}

// SAFETY: as an `Arc`: any owner may be the one that drops the value, and all may look at it at once.
unsafe impl<T: Send + Sync, C: Count> Send for Shared<T, C> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync, C: Count> Sync for Shared<T, C> {}

impl<T, C: Count> Shared<T, C> {
    const LAYOUT: Layout = Layout::new::<Block<T, C>>();

    /// A value with one owner.
    ///
    /// # Errors
    ///
    /// When there is no memory; the value comes back.
    pub(crate) fn try_new(value: T) -> Result<Self, (HeapError, T)> {
        let block = pool::allocate(Self::LAYOUT).cast::<Block<T, C>>();
        let Some(block) = NonNull::new(block) else {
            return Err((HeapError::OutOfMemory { words: Self::LAYOUT.size().div_ceil(size_of::<Word>()) }, value));
        };
        // SAFETY: the memory is new, and for a block.
        unsafe { block.write(Block { count: C::one(), value }) };
        Ok(Self { block, owned: PhantomData })
    }

    /// Have both the same value?
    pub(crate) fn ptr_eq(&self, other: &Self) -> bool {
        self.block == other.block
    }

    #[inline(always)]
    fn block(&self) -> &Block<T, C> {
        // SAFETY: it lives as long as an owner.
        unsafe { self.block.as_ref() }
    }
}

impl<T, C: Count> Clone for Shared<T, C> {
    #[inline(always)]
    fn clone(&self) -> Self {
        self.block().count.add();
        Self { block: self.block, owned: PhantomData }
    }
}

impl<T, C: Count> Deref for Shared<T, C> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.block().value
    }
}

impl<T, C: Count> Drop for Shared<T, C> {
    #[inline]
    fn drop(&mut self) {
        if self.block().count.give_up() {
            // SAFETY: the last owner, whose count says so.
            unsafe { Self::end(self.block) };
        }
    }
}

impl<T, C: Count> Shared<T, C> {
    /// # Safety
    ///
    /// Nobody else may own the block, nor use it afterwards.
    #[inline(never)]
    unsafe fn end(block: NonNull<Block<T, C>>) {
        /// The memory goes too if the value's destructor, which may be the user's, panics.
        struct Memory(NonNull<u8>, Layout);

        impl Drop for Memory {
            fn drop(&mut self) {
                // SAFETY: allocated so in `try_new`; what was there has been dropped.
                unsafe { pool::free(self.0.as_ptr(), self.1) };
            }
        }

        let _memory = Memory(block.cast(), Self::LAYOUT);
        // SAFETY: the caller's promise.
        unsafe { block.drop_in_place() };
    }
}

impl<T: std::fmt::Debug, C: Count> std::fmt::Debug for Shared<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, not(all(loom, feature = "loom"))))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_last_owner_drops_the_value_once() {
        let value = Arc::new(());
        let a: Shared<_> = Shared::try_new(Arc::clone(&value)).unwrap();
        let b = a.clone();
        assert!(a.ptr_eq(&b) && Arc::ptr_eq(&a, &value));
        drop(a);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(b);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
