//! What a refusal means.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::broker::SendError;

/// Whether the client has no room for another message now.
pub(super) fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

/// Whether the cluster refused what is in a message. It then refuses all that came in one piece with it.
pub(super) fn is_about_content(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidRecord | Code::InvalidTimestamp)
    )
}

/// A refusal, with its cure. A topic that does not exist may still be created: that is transient.
pub(super) fn refusal(error: &KafkaError) -> SendError {
    use RDKafkaErrorCode as Code;
    if let KafkaError::Nul(_) = error {
        return SendError::Permanent("the topic's name has a NUL in it; name another topic".to_owned());
    }
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge) => SendError::Permanent(
            "the message is too large; raise `message.max.bytes` in the broker's URL and `max.message.bytes` of the \
             topic, or publish a reference to the content"
                .to_owned(),
        ),
        Some(code @ (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) => {
            SendError::Permanent(format!("{code}; grant `WRITE` on the topic and `IDEMPOTENT_WRITE` on the cluster"))
        }
        Some(
            code @ (Code::InvalidTopic
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat),
        ) => SendError::Permanent(code.to_string()),
        Some(code @ (Code::UnknownTopic | Code::UnknownTopicOrPartition)) => {
            SendError::Transient(format!("{code}; create the topic"))
        }
        Some(Code::PurgeQueue | Code::PurgeInflight) => {
            SendError::Transient("no acknowledgement came before the connection was given up".to_owned())
        }
        Some(code) => SendError::Transient(code.to_string()),
        None if *error == KafkaError::Canceled => SendError::Transient("no acknowledgement came in time".to_owned()),
        None => SendError::Transient(error.to_string()),
    }
}
