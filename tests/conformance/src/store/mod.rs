//! The checks of a store, by what they are about.

pub mod admission;
pub mod claims;
pub mod content;
pub mod leases;
pub mod operators;
pub mod outbox;
pub mod processes;
pub mod records;
pub mod rescue;
pub mod settling;
pub mod topics;
pub mod transactions;

/// Hands every check, by area, to a macro: `callback!(extra; area { check, … } …)`.
#[macro_export]
macro_rules! each_store_check {
    ($callback:ident, $($extra:tt)*) => {
        $crate::$callback! { $($extra)*;
            admission {
                an_event_to_run_is_processing_under_a_claim,
                a_parked_event_is_received_and_waits,
                a_held_event_waits_for_its_key,
                a_second_delivery_is_a_duplicate_without_payload,
                a_duplicate_within_a_batch_is_recognised,
                the_same_id_with_other_content_is_a_conflict,
                an_event_nobody_wants_is_kept_and_recognised,
                an_unwanted_event_is_reopened_for_its_listener,
                an_unwanted_event_that_was_discarded_stays_discarded,
                an_invalid_event_keeps_no_key,
                an_invalid_copy_of_a_known_event_is_a_conflict,
                a_replay_passes_the_check_on_purpose,
                each_listener_has_its_own_record,
                one_batch_is_one_range_of_rising_ids,
                an_empty_batch_claims_nothing,
                concurrent_deliveries_of_one_event_run_once,
            }
            settling {
                success_is_processed_with_its_attempt,
                a_failure_is_due_again,
                a_release_is_received_again,
                a_hold_waits_for_its_key,
                a_malformed_event_is_for_review_and_frees_its_id,
                the_last_failure_stages_its_dead_letter,
                a_settled_row_cannot_be_settled_again,
                a_row_outside_the_claim_is_left_alone,
                a_finished_claim_covers_nothing,
                another_instances_claim_is_left_alone,
                a_release_without_an_attempt_keeps_the_last_error,
                attempts_are_numbered_in_their_order,
                one_stale_row_does_not_stop_its_batch,
            }
            claims {
                rows_are_claimed_when_they_are_due,
                due_rows_come_in_due_order_up_to_the_room,
                each_listener_is_claimed_up_to_its_own_room,
                only_owned_partitions_are_claimed,
                a_claimed_row_is_not_claimed_twice,
                a_claimed_row_settles_under_its_token_only,
                a_delivery_says_all_that_is_known,
                held_rows_of_a_key_come_in_their_order,
                open_keys_count_heads_and_held,
                the_next_due_time_is_the_earliest,
                concurrent_claims_share_no_row,
            }
            rescue {
                running_rows_are_received_again,
                claimed_rows_are_received_again,
                a_dead_instances_settlement_is_stale,
                settled_rows_stay_as_they_are,
                an_event_that_kills_its_process_is_dead_lettered,
                a_dead_letter_of_a_rescue_goes_where_the_listener_says,
                a_suspect_that_was_not_started_is_innocent,
                a_start_is_marked_under_the_claim_only,
                other_instances_are_left_alone,
                rows_of_a_key_are_taken_back_in_their_order,
            }
            operators {
                a_dead_letter_is_retried_with_fresh_retries,
                a_dead_letter_is_discarded,
                an_invalid_event_takes_its_id_again,
                an_unwanted_event_is_discarded,
                open_and_finished_rows_are_left_alone,
                a_refused_publication_is_sent_again_or_given_up,
                a_paused_listener_is_named_until_resumed,
            }
            records {
                rows_for_review_come_oldest_first,
                every_condition_of_a_search_must_match,
                pages_follow_each_other,
                the_backlog_counts_what_is_open,
                everything_of_a_row_is_kept,
            }
            outbox {
                staged_events_are_taken_in_their_order,
                taken_rows_are_not_taken_again,
                an_acknowledged_row_is_published,
                a_refused_row_waits_for_its_time,
                a_row_that_waits_for_its_retry_holds_its_key_only,
                a_row_given_up_lets_its_key_go_on,
                a_row_not_sent_is_pending_again,
                only_leased_shards_are_taken,
                results_under_a_lost_lease_are_left_alone,
                what_an_earlier_owner_left_is_taken_again,
                the_next_time_is_of_a_row_that_can_go,
            }
            topics {
                a_topic_keeps_its_partitions,
                offsets_are_dense_and_in_order,
                concurrent_publishers_leave_no_gap,
                a_key_stays_in_its_partition,
                reading_is_shared_fairly,
                a_group_begins_where_it_says,
                positions_move_with_the_admission,
                positions_of_a_lost_lease_do_not_move,
                rows_under_way_to_a_broker_are_left_alone,
                nothing_is_published_without_the_lease,
            }
            leases {
                a_resource_has_one_owner,
                a_released_resource_changes_its_token,
                a_fenced_instance_owns_nothing,
                a_removed_instance_frees_what_it_owned,
                members_of_a_scope_are_told_of_each_other,
                a_member_that_left_has_its_leases_and_no_share,
                each_beat_is_counted,
                a_fenced_instance_claims_nothing,
                a_fenced_instance_is_known_by_what_it_holds,
            }
            transactions {
                a_commit_keeps_everything,
                a_rollback_keeps_nothing,
                a_dropped_transaction_keeps_nothing,
                a_settlement_commits_with_the_effects,
                a_settlement_without_its_claim_says_so,
                writes_go_on_after_a_transaction,
                a_nested_transaction_fails_alone,
                blocking_work_is_in_the_transaction,
                blocking_work_that_panics_breaks_nothing,
                a_publishing_function_joins_an_open_transaction,
                a_publishing_function_alone_has_its_own_transaction,
            }
            processes {
                two_processes_admit_an_event_once,
                two_processes_write_side_by_side,
                work_that_changes_hands_stays_in_order,
            }
            content {
                any_bytes_come_back_as_they_were,
                a_tombstone_stays_one,
                a_body_of_ten_megabytes_is_kept_whole,
                times_from_1970_to_9999_come_back,
                text_with_nul_is_kept_readable,
            }
        }
    };
}
