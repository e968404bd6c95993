//! What an error means of a request that was sent once, without the SDK's own tries.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::config::http::HttpResponse;

use crate::error::Error;
use crate::store::aws::{Refused, code, failed, is_throttling};

/// Why a request did not get through, and what that means for what it was about.
pub(crate) enum Failure {
    /// The table wants fewer requests.
    Throttled(Refused),
    /// The service could not do it just now: its word and its words.
    Again(String, String),
    /// It is about what was sent: the service's word and its words.
    Record(String, String),
    /// No answer came, so that nobody knows whether it was done.
    Lost(Error),
    /// No repetition mends it.
    Fatal(Error),
}

impl Failure {
    /// `place` names the table. Errors by name:
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.
    pub(crate) fn of<E>(place: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        if is_throttling(&error) {
            return Self::Throttled(Refused::new(place, error));
        }
        let word = code(&error).unwrap_or_default().to_owned();
        let said =
            error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default().to_owned();
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        match (word.as_str(), status) {
            (
                "InternalServerError"
                | "TransactionConflictException"
                | "TransactionInProgressException"
                | "ReplicatedWriteConflictException",
                _,
            ) => Self::Again(word, said),
            ("ValidationException" | "ItemCollectionSizeLimitExceededException", _) => {
                Self::Record(word, said)
            }
            (_, Some(500..)) => {
                Self::Again(if word.is_empty() { "unavailable".to_owned() } else { word }, said)
            }
            ("", _) if !matches!(error, SdkError::ConstructionFailure(_)) => {
                Self::Lost(failed(place, error, true))
            }
            _ => Self::Fatal(failed(place, error, true)),
        }
    }
}
