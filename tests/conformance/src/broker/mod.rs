//! The checks of a broker, by what they are about.
//!
//! They are of brokers that own partitions where order matters, and talk to them through the contract alone. What else
//! a check needs, a topic or a message in it, a broker's [`Ground`] provides.

pub mod admission;
pub mod cancellation;
pub mod content;
pub mod delivery;
pub mod flow;
pub mod foreign;
pub mod handover;
pub mod membership;
pub mod producing;
pub mod service;

mod consumer;
mod fixture;
mod member;
mod messages;
mod patience;

pub use self::{
    consumer::{Consumer, Manner, Record},
    fixture::{BrokerFixture, Foreign, Ground, Outside, ProducerFixture, request},
    member::Member,
    messages::{assert_numbered, by_key, ids, interleaved, keyed_envelope, numbered, numbered_ids},
    patience::{PATIENCE, dropped_after, within},
};

/// Hands every check of a broker, by area, to a macro: `callback!(extra; area { check, … } …)`.
#[macro_export]
macro_rules! each_broker_check {
    ($callback:ident, $($extra:tt)*) => {
        $crate::$callback! { $($extra)*;
            service {
                a_broker_that_is_there_says_so,
                topics_that_are_there_stay_as_they_are,
            }
            delivery {
                messages_of_a_key_come_in_their_order,
                every_group_gets_every_message_once,
                a_subscription_reads_several_topics,
                a_message_that_comes_later_is_waited_for,
                no_more_come_than_were_asked_for,
                a_group_that_begins_at_the_end_gets_what_comes_later,
                a_group_begins_once,
            }
            admission {
                admitted_messages_do_not_come_again,
                messages_that_were_not_admitted_come_again,
                an_earlier_position_takes_nothing_back,
                what_is_given_back_comes_again_before_what_came_after_it,
                what_is_given_back_leaves_other_partitions_alone,
                what_is_given_back_while_paused_comes_after_the_pause,
            }
            flow {
                who_asks_for_no_messages_gets_only_news,
                what_was_read_ahead_of_a_pause_comes_after_it,
                a_paused_partition_is_silent_and_the_others_flow,
                a_pause_ends_with_the_assignment,
            }
            membership {
                members_of_a_group_share_its_partitions,
                no_message_goes_to_two_members,
                a_member_that_leaves_hands_over,
                a_group_does_not_feel_another,
            }
            handover {
                a_released_partition_goes_on_where_it_was_admitted,
                a_partition_that_is_not_released_in_time_is_lost,
                nothing_comes_of_a_partition_that_is_going,
                a_release_of_what_is_not_going_means_nothing,
                a_partition_that_is_taken_away_is_lost,
                positions_in_partitions_that_are_gone_are_passed_over,
            }
            cancellation {
                dropped_calls_lose_no_message,
                dropped_calls_lose_no_partition,
                what_a_dropped_call_took_is_handed_over,
                a_dropped_release_can_be_repeated,
                a_dropped_admission_can_be_repeated,
                a_dropped_return_can_be_repeated,
                a_dropped_close_leaves_all_the_same,
            }
            content {
                everything_of_an_event_comes_as_it_was_published,
                what_an_event_does_not_have_stays_away,
                a_tombstone_stays_one,
                a_body_of_900_kilobytes_comes_whole,
            }
        }
    };
}

/// Hands every check of a broker to which messages are sent to a macro, as [`each_broker_check!`] does.
#[macro_export]
macro_rules! each_producer_check {
    ($callback:ident, $($extra:tt)*) => {
        $crate::$callback! { $($extra)*;
            producing {
                a_batch_is_acknowledged_in_its_order,
                a_message_stands_where_it_was_acknowledged,
                a_refused_message_holds_its_key_and_no_other,
                a_refused_message_leaves_what_comes_after_its_batch,
                an_empty_batch_is_nothing,
            }
            foreign {
                a_message_without_an_id_is_named_by_the_broker,
                a_message_with_an_id_keeps_it,
                events_travel_with_their_attributes,
            }
        }
    };
}
