//! What OTP's suites say of processes, case by case where the name is one of theirs: `process_SUITE`, and its neighbours on
//! links, monitors and names.

#![cfg(feature = "runtime")]

#[path = "../support/mod.rs"]
mod support;

mod exits;
mod helpers;
mod hibernate;
mod info;
mod links;
mod mailboxes;
mod monitors;
mod names;
mod runtime;
mod signals;
