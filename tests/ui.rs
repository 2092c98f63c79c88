//! What must not compile: each file under `tests/ui` is one way in which a term could outlive its heap, enter another
//! one or be made up. The `ok_` files are what to write instead.
//!
//! The expected messages are those of the default features (paths are printed in full where a name is not unique) and
//! of the toolchain that the repository is developed with; `TRYBUILD=overwrite` renews them.

#![cfg(feature = "runtime")]

#[test]
fn terms_do_not_escape() {
    let t = trybuild::TestCases::new();
    t.pass("tests/ui/ok_*.rs");
    for escapes in ["escape", "forged", "heap", "lent", "mixed"] {
        t.compile_fail(format!("tests/ui/{escapes}_*.rs"));
    }
}
