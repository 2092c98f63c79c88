//! What OTP's suites say of processes, case by case where the name is one of theirs: `process_SUITE`, and its neighbours on
//! links, monitors and names.
//!
//! What `process_SUITE` has of processes beside their heaps, and what shows it here. Cases on distribution, on internals of that
//! machine (`otp_6237`, `otp_16436`, `otp_16642`, locks, system tasks, dirty schedulers), and on what cannot be said here
//! because a type forbids it (`trap_exit_badarg`, `bad_register`, `process_flag_badarg`) have none.
//!
//! | OTP | here |
//! |---|---|
//! | `t_exit_1`, `t_exit_2_other`, `_other_normal`, `_catch`, `self_exit`, `normal_` and `abnormal_suicide_exit`, `exit_twice`, `exit_and_timeout` | `exits`, by the same names |
//! | `t_process_info`, `_other`, `process_info_messages` | `info`, by the same names |
//! | `process_info_other_msg`, `_dict_lookup`, `_label`, `_parent` | none: no process shows its messages, and there are neither dictionaries nor labels |
//! | `process_info_2_list` | none: the figures come all at once |
//! | `process_info_other_status`, `_status_handled_signal` | `info::t_process_info`, `process_info_status_handled_signal` |
//! | `process_info_reductions` | `info::t_process_info`: turns are what is counted |
//! | `process_info_self_signal`, `_self_msgq_len`, `_messages` | `info::process_info_self_msgq_len` |
//! | `process_info_self_msgq_len_more`, `msgq_len_no_very_long_delay`, `lock_reschedule` | `info::process_info_of_a_process_that_runs`: nobody waits for who is asked |
//! | `process_info_smoke_all`, `_signal_race` | `info::process_info_signal_race` |
//! | `processes_large_tab` and its kin, `_term_proc_list` | `info::processes_large_tab` |
//! | `processes_iter` | none: a list is made at once |
//! | `no_pid_wrap` | `processes.rs`, `a_pid_never_reaches_the_next_process_of_its_slot` |
//! | `spawn_with_binaries` | `binaries.rs` |
//! | `spawn_opt_*`, `process_flag_*_heap_size`, `_fullsweep_after` | `processes.rs` (options, limits), `generations.rs` |
//! | `garbage_collect`, `garb_other_running`, `gc_request_*` | none: nobody collects the heap of another; `hibernate` is one's own |
//! | `spawn_huge_arglist` | none: what a child begins with is a Rust value |
//! | `spawn_request_*` | none: to spawn never waits |
//! | `yield`, `low_prio`, `no_priority_inversion` | `runtime::a_busy_process_starves_nobody`; there are no priorities |
//! | `suspend_process_*`, `otp_7738_*` | none: no process stops another |
//! | `alias_bif`, `monitor_alias`, `demonitor_` and `down_aliasmonitor`, `monitor_tag` | none: an answer carries the reference that its request was given |
//! | `monitor_SUITE` `case_1`, `demon_1`, `demonitor_flush`, `named_down` | `monitors` |
//! | `link_SUITE`, with `unlink` that crosses another link | `links` |
//! | `register_SUITE` | `names` |
//! | `hibernate_SUITE` `basic`, `min_heap_size`, `messages_in_queue` | `hibernate`, by the same names; the others are on the stack that there is none of |
//! | `message_queue_data_SUITE` | `info::process_info_messages`: messages are always outside of the heap |
//! | `timer_bif_SUITE`, `receive_SUITE` | `timers.rs` |
//! | signals before the process has room for them (`signal_SUITE`) | `signals` |

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
