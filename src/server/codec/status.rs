use grpcio::{RpcStatus, RpcStatusCode};

use super::request::RequestError;
use crate::model::Rejection;
use crate::plural::counted;
use crate::state::StateError;

/// Why a call fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the whole list is too large for one answer: request pages with page_size")]
    ListingTooLarge,
    #[error("too many listings wait for clients to read them: retry later, in pages")]
    ListingsPending,
    #[error("{} already: retry later", counted(*max, "read waits", "reads wait"))]
    TooManyReads { max: usize },
}

impl From<Rejection> for CallError {
    fn from(rejection: Rejection) -> CallError {
        CallError::State(rejection.into())
    }
}

/// The status that the client receives.
pub(crate) fn status(error: &CallError) -> RpcStatus {
    RpcStatus::with_message(code(error), error.to_string())
}

/// The one table from errors to gRPC codes.
fn code(error: &CallError) -> RpcStatusCode {
    match error {
        CallError::Request(
            RequestError::Filter(_)
            | RequestError::PageSize(_)
            | RequestError::PageToken
            | RequestError::NegativeRevision { .. }
            | RequestError::ProgressInterval(_)
            | RequestError::UpdatesPerMessage(_),
        ) => RpcStatusCode::INVALID_ARGUMENT,
        CallError::State(error) => state_code(error),
        CallError::ListingTooLarge
        | CallError::ListingsPending
        | CallError::TooManyReads { .. } => RpcStatusCode::RESOURCE_EXHAUSTED,
    }
}

fn state_code(error: &StateError) -> RpcStatusCode {
    match error {
        StateError::Rejected(rejection) => match rejection {
            Rejection::Title(_)
            | Rejection::RequestId(_)
            | Rejection::RequestIdReused(_)
            | Rejection::NothingToUpdate => RpcStatusCode::INVALID_ARGUMENT,
            Rejection::NotFound(_) => RpcStatusCode::NOT_FOUND,
            Rejection::RevisionMismatch { .. } => RpcStatusCode::ABORTED,
            Rejection::Deleted(_) | Rejection::NotDeleted(_) => RpcStatusCode::FAILED_PRECONDITION,
            Rejection::TooManyTasks { .. } | Rejection::IdsExhausted => {
                RpcStatusCode::RESOURCE_EXHAUSTED
            }
        },
        StateError::HistoryCompacted { .. }
        | StateError::RevisionInFuture { .. }
        | StateError::OtherList { .. } => RpcStatusCode::OUT_OF_RANGE,
        StateError::NoSpace
        | StateError::QueueFull { .. }
        | StateError::TooManyWatchers { .. }
        | StateError::WatcherStalled { .. }
        | StateError::SnapshotNotTaken { .. } => RpcStatusCode::RESOURCE_EXHAUSTED,
        StateError::Unreadable => RpcStatusCode::INTERNAL,
        StateError::Expired => RpcStatusCode::DEADLINE_EXCEEDED,
        StateError::StoreBusy
        | StateError::Unreachable
        | StateError::ShuttingDown
        | StateError::OutcomeUnknown => RpcStatusCode::UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RequestIdError, TitleError};

    /// The rows. A variant without a row does not compile.
    macro_rules! table {
        ($type:ident: $($variant:pat, $example:expr, $code:literal;)*) => {{
            let _ = |error: &$type| match error {
                $($variant => (),)*
            };
            $(assert!(matches!($example, $variant));)*
            vec![$((CallError::from($example), $code)),*]
        }};
    }

    #[test]
    fn each_error_has_its_code_and_its_message() {
        let mut table = table![Rejection:
            Rejection::Title(_), Rejection::Title(TitleError::Empty), "INVALID_ARGUMENT";
            Rejection::RequestId(_), Rejection::RequestId(RequestIdError::TooLong { chars: 65 }), "INVALID_ARGUMENT";
            Rejection::RequestIdReused(_), Rejection::RequestIdReused("a".to_owned()), "INVALID_ARGUMENT";
            Rejection::NothingToUpdate, Rejection::NothingToUpdate, "INVALID_ARGUMENT";
            Rejection::NotFound(_), Rejection::NotFound(7), "NOT_FOUND";
            Rejection::RevisionMismatch { .. }, Rejection::RevisionMismatch { id: 1, expected: 2, actual: 3 }, "ABORTED";
            Rejection::Deleted(_), Rejection::Deleted(1), "FAILED_PRECONDITION";
            Rejection::NotDeleted(_), Rejection::NotDeleted(1), "FAILED_PRECONDITION";
            Rejection::TooManyTasks { .. }, Rejection::TooManyTasks { max: 1 }, "RESOURCE_EXHAUSTED";
            Rejection::IdsExhausted, Rejection::IdsExhausted, "RESOURCE_EXHAUSTED";
        ];
        use StateError::*;
        table.extend(table![StateError:
            Rejected(_), Rejected(Rejection::NotFound(7)), "NOT_FOUND";
            HistoryCompacted { .. }, HistoryCompacted { asked: 1, compacted: 2 }, "OUT_OF_RANGE";
            RevisionInFuture { .. }, RevisionInFuture { asked: 2, current: 1 }, "OUT_OF_RANGE";
            OtherList { .. }, OtherList { asked: "a".into(), actual: "b".into() }, "OUT_OF_RANGE";
            NoSpace, NoSpace, "RESOURCE_EXHAUSTED";
            StoreBusy, StoreBusy, "UNAVAILABLE";
            Unreadable, Unreadable, "INTERNAL";
            Unreachable, Unreachable, "UNAVAILABLE";
            QueueFull { .. }, QueueFull { max: 1 }, "RESOURCE_EXHAUSTED";
            TooManyWatchers { .. }, TooManyWatchers { max: 1 }, "RESOURCE_EXHAUSTED";
            WatcherStalled { .. }, WatcherStalled { seconds: 1 }, "RESOURCE_EXHAUSTED";
            SnapshotNotTaken { .. }, SnapshotNotTaken { seconds: 1 }, "RESOURCE_EXHAUSTED";
            Expired, Expired, "DEADLINE_EXCEEDED";
            ShuttingDown, ShuttingDown, "UNAVAILABLE";
            OutcomeUnknown, OutcomeUnknown, "UNAVAILABLE";
        ]);
        table.extend(table![RequestError:
            RequestError::Filter(_), RequestError::Filter(9), "INVALID_ARGUMENT";
            RequestError::PageSize(_), RequestError::PageSize(-1), "INVALID_ARGUMENT";
            RequestError::PageToken, RequestError::PageToken, "INVALID_ARGUMENT";
            RequestError::NegativeRevision { .. }, RequestError::NegativeRevision { field: "f", value: -1 }, "INVALID_ARGUMENT";
            RequestError::ProgressInterval(_), RequestError::ProgressInterval(99), "INVALID_ARGUMENT";
            RequestError::UpdatesPerMessage(_), RequestError::UpdatesPerMessage(-1), "INVALID_ARGUMENT";
        ]);
        table.extend(table![CallError:
            CallError::Request(_), CallError::Request(RequestError::PageToken), "INVALID_ARGUMENT";
            CallError::State(_), CallError::State(NoSpace), "RESOURCE_EXHAUSTED";
            CallError::ListingTooLarge, CallError::ListingTooLarge, "RESOURCE_EXHAUSTED";
            CallError::ListingsPending, CallError::ListingsPending, "RESOURCE_EXHAUSTED";
            CallError::TooManyReads { .. }, CallError::TooManyReads { max: 1 }, "RESOURCE_EXHAUSTED";
        ]);
        for (error, name) in table {
            let status = status(&error);
            // Such as `5-NOT_FOUND`.
            let code = format!("{:?}", status.code());
            assert_eq!(code.split_once('-').unwrap().1, name, "{error:?}");
            assert_eq!(status.message(), error.to_string());
        }
    }
}
