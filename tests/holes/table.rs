//! The holes, each with what shows that it is closed.
//!
//! H1 to H15 would be dangling pointers, H16 to H24 a cost that was promised not to be, H25 to H32 memory that is never
//! freed; D1 and D2 are of pids. A `search` is a fault of the exhaustive search of the protocol, in `protocol_search/`; a
//! `model` is one on loom, on the code that runs in production, in `loom-tests/`.

/// In which file which test, model or fault is about a hole.
type Tests = &'static [(&'static str, &'static [&'static str])];

/// The hole, in a few words, and its tests.
const HOLES: &[(&str, &str, Tests)] = &[
    (
        "H1",
        "a message that was pushed and not yet drained is in no filter",
        &[
            ("tests/protocol_search/steps.rs", &["ScanFilterOnly"]),
            ("loom-tests/tests/collection.rs", &["busy_holds"]),
            (
                "tests/persistent/holders.rs",
                &["messages_that_are_or_hold_literals_survive_their_erasure_before_they_are_received"],
            ),
        ],
    ),
    (
        "H2",
        "scheduling state and filter are two words",
        &[
            ("tests/protocol_search/steps.rs", &["OldFilterAtIdle", "NoteBeforePush"]),
            ("loom-tests/tests/collection.rs", &["pass_holds", "get_holds"]),
        ],
    ),
    (
        "H3",
        "deferred messages are forgotten",
        &[
            ("tests/protocol_search/steps.rs", &["MessagesNotInFilter", "EvacuateNoDrain", "EvacuateForgetsMessages"]),
            ("loom-tests/tests/collection.rs", &["defer_holds"]),
            ("tests/holes/main.rs", &["a_literal_in_a_message_that_waits_is_whole_when_its_turn_comes"]),
        ],
    ),
    (
        "H4",
        "a region, handle, reason or port outside of every process",
        &[
            ("tests/protocol_search/steps.rs", &["LeaseNotCounted", "NoCountAfterGrace"]),
            ("loom-tests/tests/collection.rs", &["lease_holds"]),
            ("tests/persistent/holders.rs", &["what_leaves_for_a_port_or_as_a_reason_has_no_part_in_the_store"]),
            ("tests/persistent_surface.rs", &["a_literal_outlives_its_key_and_ends_with_its_last_handle"]),
            ("tests/otp_process/exits.rs", &["a_reason_with_literals_is_whole_when_they_are_gone"]),
            ("tests/timers.rs", &["what_a_timer_holds_has_no_part_in_the_store"]),
            ("tests/holes/main.rs", &["a_region_in_plain_hands_outlives_what_it_was_copied_from"]),
        ],
    ),
    (
        "H5",
        "guards of threads outside are waited for too late",
        &[
            ("tests/protocol_search/steps.rs", &["ForeignNotInGrace"]),
            ("loom-tests/tests/collection.rs", &["foreign_holds", "glance_holds"]),
        ],
    ),
    (
        "H6",
        "areas that point into areas, and values that are put back",
        &[
            (
                "tests/protocol_search/steps.rs",
                &[
                    "NoCountAtMark",
                    "CountOnlyAfterGrace",
                    "DependencyNotCounted",
                    "EvacuateForgetsFilter",
                    "NoQueuedFlag",
                    "PutIgnoresMark",
                    "LastDropOutsideLock",
                ],
            ),
            ("loom-tests/tests/collection.rs", &["republish_holds", "lease_holds", "two_leases_hold"]),
            ("tests/persistent/areas.rs", &["terms_share_what_they_have_of_each_other_and_keep_it_alive"]),
        ],
    ),
    (
        "H7",
        "a region that moves whole bypasses the mark",
        &[
            ("tests/protocol_search/steps.rs", &["ForwardIgnoresMark", "SendIgnoresMark"]),
            (
                "tests/persistent/holders.rs",
                &["a_message_that_is_forwarded_by_a_process_that_is_asked_is_whole_where_it_arrives"],
            ),
        ],
    ),
    (
        "H8",
        "a boundary that has no fence for the next turn",
        &[
            ("tests/protocol_search/steps.rs", &["NoGrace"]),
            ("loom-tests/tests/collection.rs", &["boundary_holds", "glimpse_holds"]),
        ],
    ),
    (
        "H9",
        "an answer before the grace period is over",
        &[
            ("tests/protocol_search/steps.rs", &["AskBeforeGrace"]),
            ("loom-tests/tests/collection.rs", &["boundary_holds"]),
        ],
    ),
    (
        "H10",
        "evacuation into the young generation",
        &[("tests/holes/main.rs", &["what_was_evacuated_is_whole_after_minor_and_major_collections"])],
    ),
    ("H11", "keys that escape", &[("tests/persistent/keys.rs", &["a_key_may_be_made_of_literals_and_outlives_them"])]),
    (
        "H12",
        "no frozen bit inside of what was frozen",
        &[
            ("tests/persistent_surface.rs", &["a_holder_of_a_value_built_in_place_evacuates_what_it_reaches"]),
            ("tests/collection_random.rs", &["random_programs_read_whole_values_and_leave_nothing_behind"]),
        ],
    ),
    (
        "H13",
        "a turn within a turn",
        &[("tests/callbacks.rs", &["waiting_where_it_would_be_for_oneself_says_so_at_once"])],
    ),
    (
        "H14",
        "two runtimes on one store, one term in two stores",
        &[(
            "tests/persistent/domains.rs",
            &["two_runtimes_on_one_store_are_one_domain", "a_process_of_another_store_reads_a_copy"],
        )],
    ),
    (
        "H15",
        "slots that are used again",
        &[
            ("tests/protocol_search/steps.rs", &["DeadBeforeDrop"]),
            ("loom-tests/tests/collection.rs", &["exit_holds"]),
            ("loom-tests/tests/mailbox.rs", &["push_against_the_end"]),
            ("tests/processes.rs", &["stale_pids_under_threads_hit_nobody"]),
        ],
    ),
    ("H16", "every reader is a holder", &[("tests/holes/main.rs", &["who_reads_and_keeps_nothing_is_passed_over"])]),
    (
        "H17",
        "a bit stands for more than one area",
        &[
            ("tests/protocol_search/steps.rs", &["InspectSkipsMessages", "InspectForgetsNote"]),
            ("loom-tests/tests/collection.rs", &["look_holds", "defer_holds"]),
            ("tests/holes/main.rs", &["holders_of_terms_with_the_same_bit_are_not_woken"]),
        ],
    ),
    (
        "H18",
        "which area a word points into, without a search",
        &[("src/heap/filter_bits.rs", &["bits_are_shared_evenly_and_what_changes_keeps_clear_of_what_stays"])],
    ),
    (
        "H19",
        "copies write to their source, or lose sharing",
        &[("tests/persistent/holders.rs", &["a_dag_stays_small_wherever_it_goes"])],
    ),
    (
        "H20",
        "evacuation multiplies memory",
        &[
            ("tests/processes.rs", &["a_process_made_to_copy_by_a_collection_does_not_pass_its_limit_by_it"]),
            (
                "tests/holes/main.rs",
                &[
                    "a_holder_copies_what_it_reaches_and_not_the_area",
                    "a_burst_of_messages_is_made_to_copy_once_what_all_of_them_hold",
                    "a_message_that_is_received_keeps_nothing_for_having_waited",
                    "what_few_messages_have_left_is_not_what_many_had",
                    "what_the_heap_had_is_not_what_the_one_message_keeps_that_waits",
                ],
            ),
            ("loom-tests/tests/collection.rs", &["burst_holds"]),
        ],
    ),
    (
        "H21",
        "a large message is copied by each collection of its receiver",
        &[("tests/holes/main.rs", &["a_large_message_that_is_kept_is_not_copied_for_having_come"])],
    ),
    (
        "H22",
        "versions begin again after an erase",
        &[("tests/persistent_surface.rs", &["a_version_stands_for_one_put"])],
    ),
    (
        "H23",
        "the result of a nested heap is not told from the outer one",
        &[("tests/scratch.rs", &["the_result_moves_out_and_what_is_outside_stays_where_it_is"])],
    ),
    (
        "H24",
        "a deferred turn leaves garbage that points into its message",
        &[("tests/processes.rs", &["a_deferred_turn_leaves_no_garbage_and_the_state_as_it_was"])],
    ),
    ("H25", "a worker that sleeps online", &[("tests/protocol_search/steps.rs", &["ParksOnline"])]),
    (
        "H26",
        "a turn that does not end",
        &[
            ("tests/holes/main.rs", &["a_turn_that_runs_on_delays_the_freeing_and_is_named"]),
            ("tests/persistent_surface.rs", &["a_turn_that_puts_in_a_loop_is_stopped_by_the_limit_alone"]),
        ],
    ),
    (
        "H27",
        "a lazy collection that never ends",
        &[
            ("tests/protocol_search/steps.rs", &["JoinsWithoutGrace", "SparedForEver"]),
            ("loom-tests/tests/collection.rs", &["lazy_holds", "joins_holds", "budget_holds"]),
            (
                "shuttle-tests/tests/whole.rs",
                &["a_program_holds_with_a_lazy_collection", "a_program_holds_with_a_budget"],
            ),
            (
                "tests/persistent_surface.rs",
                &[
                    "a_holder_that_ends_or_forgets_lets_a_lazy_store_go_on",
                    "what_joins_a_lazy_collection_goes_with_one_collection_of_its_holder",
                ],
            ),
        ],
    ),
    (
        "H28",
        "a chain of versions keeps all of them",
        &[
            ("tests/persistent/areas.rs", &["a_long_chain_of_versions_keeps_bounded_memory"]),
            ("tests/chain.rs", &["a_chain_keeps_a_small_multiple_of_the_newest"]),
        ],
    ),
    (
        "H29",
        "a process that never comes to rest, or never runs",
        &[
            ("tests/processes.rs", &["a_long_job_stays_small_and_answers_collections"]),
            (
                "tests/holes/main.rs",
                &[
                    "who_is_asked_and_never_run_is_named",
                    "all_who_are_asked_are_named_whether_they_are_woken_or_not",
                    "who_hibernates_lets_go_and_sleeps_on",
                    "a_look_at_who_is_idle_passes_over_few_messages",
                ],
            ),
            ("loom-tests/tests/collection.rs", &["put_off_holds"]),
            (
                "tests/evacuation.rs",
                &["who_holds_nothing_does_not_wait_behind_all_who_do", "who_is_put_off_is_served_at_once"],
            ),
        ],
    ),
    (
        "H30",
        "a guard that is kept",
        &[("tests/persistent/freeing.rs", &["a_guard_delays_the_freeing_and_nothing_else"])],
    ),
    (
        "H31",
        "freeing runs code of the user's",
        &[(
            "tests/callbacks.rs",
            &["a_destructor_may_use_the_store", "a_panic_in_a_destructor_of_a_term_stops_no_collection"],
        )],
    ),
    (
        "H32",
        "a holder that ends",
        &[
            ("tests/protocol_search/steps.rs", &["ExitNoAnswer", "ExitAnswersTwice"]),
            ("loom-tests/tests/collection.rs", &["exit_holds"]),
            (
                "tests/holes/main.rs",
                &[
                    "a_holder_that_is_killed_or_panics_at_any_step_holds_nothing_up",
                    "holders_that_end_instead_of_answering_have_the_next_ones_woken",
                ],
            ),
        ],
    ),
    (
        "D1",
        "generations of a slot are used up",
        &[(
            "src/persistent/slots/handed_out.rs",
            &["a_slot_is_used_again_first_freed_first_with_the_next_generation_until_they_are_used_up"],
        )],
    ),
    (
        "D2",
        "a pid of another domain",
        &[
            ("tests/holes/main.rs", &["a_pid_of_another_domain_names_nobody_here"]),
            ("tests/persistent/domains.rs", &["a_process_of_another_store_reads_a_copy"]),
            (
                "src/persistent/slots/handed_out.rs",
                &["domains_have_different_tags_and_a_tag_that_is_used_again_goes_on_with_new_generations"],
            ),
        ],
    ),
];

/// What was broken by hand where no model and no search has the fault, and which test has failed then.
const BROKEN: &[(&str, &str, &str, &str)] = &[
    (
        "H4",
        "a port is sent pointers",
        "tests/persistent/holders.rs",
        "what_leaves_for_a_port_or_as_a_reason_has_no_part_in_the_store",
    ),
    (
        "H4",
        "the reason of a signal keeps them",
        "tests/otp_process/exits.rs",
        "a_reason_with_literals_is_whole_when_they_are_gone",
    ),
    ("H4", "the message of a timer keeps them", "tests/timers.rs", "what_a_timer_holds_has_no_part_in_the_store"),
    (
        "H7",
        "what is forwarded is not tested",
        "tests/persistent/holders.rs",
        "a_message_that_is_forwarded_by_a_process_that_is_asked_is_whole_where_it_arrives",
    ),
    (
        "H10",
        "who answers moves its heap and copies nothing",
        "tests/persistent/holders.rs",
        "holders_keep_equal_private_copies_when_a_term_is_replaced_or_erased",
    ),
    (
        "H11",
        "neither of the two copies of a key is without them",
        "tests/persistent/keys.rs",
        "a_key_may_be_made_of_literals_and_outlives_them",
    ),
    (
        "H12",
        "no frozen bits where a value was built",
        "tests/persistent_surface.rs",
        "a_holder_of_a_value_built_in_place_evacuates_what_it_reaches",
    ),
    (
        "H13",
        "no turn knows that it is one",
        "tests/callbacks.rs",
        "waiting_where_it_would_be_for_oneself_says_so_at_once",
    ),
    (
        "H14",
        "a literal of any store is shared",
        "tests/persistent_surface.rs",
        "a_literal_outlives_its_key_and_ends_with_its_last_handle",
    ),
    ("H16", "a read is noted", "tests/holes/main.rs", "who_reads_and_keeps_nothing_is_passed_over"),
    ("H17", "no look at who is idle", "tests/holes/main.rs", "holders_of_terms_with_the_same_bit_are_not_woken"),
    (
        "H18",
        "one bit for all areas",
        "src/heap/filter_bits.rs",
        "bits_are_shared_evenly_and_what_changes_keeps_clear_of_what_stays",
    ),
    ("H19", "a copy for each path", "tests/persistent/holders.rs", "a_dag_stays_small_wherever_it_goes"),
    (
        "H20",
        "leases that are never given up",
        "tests/holes/main.rs",
        "a_burst_of_messages_is_made_to_copy_once_what_all_of_them_hold",
    ),
    (
        "H20",
        "the heap copies by itself beside its messages",
        "tests/holes/main.rs",
        "a_burst_of_messages_is_made_to_copy_once_what_all_of_them_hold",
    ),
    (
        "H20",
        "leases that end with the last message",
        "tests/holes/main.rs",
        "what_few_messages_have_left_is_not_what_many_had",
    ),
    (
        "H20",
        "one message shares with the heap",
        "tests/holes/main.rs",
        "what_the_heap_had_is_not_what_the_one_message_keeps_that_waits",
    ),
    (
        "H20",
        "a message that is kept keeps its lease",
        "tests/holes/main.rs",
        "a_message_that_is_received_keeps_nothing_for_having_waited",
    ),
    (
        "H21",
        "a large message counts against the threshold",
        "tests/holes/main.rs",
        "a_large_message_that_is_kept_is_not_copied_for_having_come",
    ),
    ("H22", "versions count for each key", "tests/persistent_surface.rs", "a_version_stands_for_one_put"),
    (
        "H23",
        "a result moves with what is outside",
        "tests/scratch.rs",
        "the_result_moves_out_and_what_is_outside_stays_where_it_is",
    ),
    ("H25", "a worker sleeps online", "tests/persistent/freeing.rs", "a_guard_delays_the_freeing_and_nothing_else"),
    (
        "H26",
        "no limit: it took all the memory",
        "tests/persistent_surface.rs",
        "a_turn_that_puts_in_a_loop_is_stopped_by_the_limit_alone",
    ),
    ("H26", "the turn is not named", "tests/holes/main.rs", "a_turn_that_runs_on_delays_the_freeing_and_is_named"),
    (
        "H27",
        "a collection of one's own leaves what is spared",
        "tests/persistent_surface.rs",
        "a_lazy_store_leaves_its_holders_alone",
    ),
    (
        "H27",
        "a batch that nothing joins",
        "tests/persistent_surface.rs",
        "what_joins_a_lazy_collection_goes_with_one_collection_of_its_holder",
    ),
    ("H28", "a chain is never cut", "tests/chain.rs", "a_chain_keeps_a_small_multiple_of_the_newest"),
    ("H29", "no answer between two slices", "tests/processes.rs", "a_long_job_stays_small_and_answers_collections"),
    ("H29", "a look over all messages", "tests/holes/main.rs", "a_look_at_who_is_idle_passes_over_few_messages"),
    ("H29", "all are woken at once", "tests/evacuation.rs", "who_is_put_off_is_served_at_once"),
    ("H29", "an answer wakes nobody", "tests/evacuation.rs", "who_holds_nothing_does_not_wait_behind_all_who_do"),
    (
        "H30",
        "a repin does nothing",
        "tests/persistent/freeing.rs",
        "a_guard_that_is_repinned_goes_on_with_what_waited_for_it",
    ),
    ("H30", "a guard is not named", "tests/persistent/freeing.rs", "a_guard_delays_the_freeing_and_nothing_else"),
    ("H31", "the lock of the pending list is held", "tests/callbacks.rs", "a_destructor_may_use_the_store"),
    (
        "H31",
        "freeing is no call of the user's",
        "tests/callbacks.rs",
        "waiting_where_it_would_be_for_oneself_says_so_at_once",
    ),
    (
        "H31",
        "a destructor's panic goes on",
        "tests/callbacks.rs",
        "a_panic_in_a_destructor_of_a_term_stops_no_collection",
    ),
    (
        "H32",
        "an end wakes nobody",
        "tests/holes/main.rs",
        "holders_that_end_instead_of_answering_have_the_next_ones_woken",
    ),
    (
        "D1",
        "generations begin again",
        "src/persistent/slots/handed_out.rs",
        "a_slot_is_used_again_first_freed_first_with_the_next_generation_until_they_are_used_up",
    ),
    ("D2", "one tag for all domains", "tests/holes/main.rs", "a_pid_of_another_domain_names_nobody_here"),
    (
        "D2",
        "a tag begins anew",
        "src/persistent/slots/handed_out.rs",
        "domains_have_different_tags_and_a_tag_that_is_used_again_goes_on_with_new_generations",
    ),
];

/// Is there a test, a model or a fault of that name in a file of this package?
fn there_is(file: &str, name: &str) -> bool {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.contains(&format!("fn {name}(")) || text.contains(&format!("    {name},\n"))
}

#[test]
fn each_hole_has_a_test_by_a_name_that_exists() {
    let numbers = (1..=32).map(|i| format!("H{i}")).chain(["D1".into(), "D2".into()]);
    assert!(HOLES.iter().map(|(hole, ..)| (*hole).to_owned()).eq(numbers));
    for (hole, what, tests) in HOLES {
        assert!(!tests.is_empty(), "{hole}, {what}");
        for (file, names) in *tests {
            for name in *names {
                assert!(there_is(file, name), "{hole}, {what}: {file} has no {name}");
            }
        }
    }
    for (hole, what, file, test) in BROKEN {
        assert!(there_is(file, test), "{hole}, {what}: {file} has no {test}");
    }
}
