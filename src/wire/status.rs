use grpcio::{RpcStatus, RpcStatusCode};

use crate::model::Rejection;

/// What a client is told.
pub fn status(rejection: &Rejection) -> RpcStatus {
    RpcStatus::with_message(code(rejection), rejection.to_string())
}

/// The one table from rejections to gRPC codes.
pub fn code(rejection: &Rejection) -> RpcStatusCode {
    match rejection {
        Rejection::Title(_)
        | Rejection::RequestId(_)
        | Rejection::RequestIdReused(_)
        | Rejection::NothingToUpdate
        | Rejection::Filter(_)
        | Rejection::PageSize(_)
        | Rejection::PageToken
        | Rejection::NegativeRevision { .. }
        | Rejection::ProgressInterval(_)
        | Rejection::UpdatesPerMessage(_) => RpcStatusCode::INVALID_ARGUMENT,
        Rejection::NotFound(_) => RpcStatusCode::NOT_FOUND,
        Rejection::RevisionMismatch { .. } => RpcStatusCode::ABORTED,
        Rejection::Deleted(_) => RpcStatusCode::FAILED_PRECONDITION,
        Rejection::HistoryGone { .. }
        | Rejection::RevisionToCome { .. }
        | Rejection::OtherList { .. } => RpcStatusCode::OUT_OF_RANGE,
        Rejection::TooManyTasks { .. }
        | Rejection::IdsExhausted
        | Rejection::NoSpace
        | Rejection::QueueFull { .. }
        | Rejection::WatcherStalled { .. }
        | Rejection::SnapshotNotTaken { .. }
        | Rejection::TooManyWatchers { .. }
        | Rejection::ListingTooLarge
        | Rejection::ListingsPending => RpcStatusCode::RESOURCE_EXHAUSTED,
        Rejection::Unreadable => RpcStatusCode::INTERNAL,
        Rejection::Expired => RpcStatusCode::DEADLINE_EXCEEDED,
        Rejection::StoreBusy | Rejection::ShuttingDown | Rejection::OutcomeUnknown => {
            RpcStatusCode::UNAVAILABLE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RequestIdError, TitleError};

    /// The rows. A variant without one does not compile.
    macro_rules! table {
        ($($variant:pat, $example:expr, $code:literal;)*) => {{
            let _ = |rejection: &Rejection| match rejection {
                $($variant => (),)*
            };
            $(assert!(matches!($example, $variant));)*
            [$(($example, $code)),*]
        }};
    }

    #[test]
    fn each_rejection_has_its_code_and_says_why() {
        use Rejection::*;
        let table = table![
            Title(_), Title(TitleError::Empty), "INVALID_ARGUMENT";
            RequestId(_), RequestId(RequestIdError::TooLong { chars: 65 }), "INVALID_ARGUMENT";
            RequestIdReused(_), RequestIdReused("a".to_owned()), "INVALID_ARGUMENT";
            NothingToUpdate, NothingToUpdate, "INVALID_ARGUMENT";
            Filter(_), Filter(9), "INVALID_ARGUMENT";
            PageSize(_), PageSize(-1), "INVALID_ARGUMENT";
            PageToken, PageToken, "INVALID_ARGUMENT";
            NegativeRevision { .. }, NegativeRevision { field: "f", value: -1 }, "INVALID_ARGUMENT";
            ProgressInterval(_), ProgressInterval(99), "INVALID_ARGUMENT";
            UpdatesPerMessage(_), UpdatesPerMessage(-1), "INVALID_ARGUMENT";
            HistoryGone { .. }, HistoryGone { asked: 1, compacted: 2 }, "OUT_OF_RANGE";
            RevisionToCome { .. }, RevisionToCome { asked: 2, current: 1 }, "OUT_OF_RANGE";
            OtherList { .. }, OtherList { asked: "a".into(), actual: "b".into() }, "OUT_OF_RANGE";
            NotFound(_), NotFound(7), "NOT_FOUND";
            RevisionMismatch { .. }, RevisionMismatch { id: 1, expected: 2, actual: 3 }, "ABORTED";
            Deleted(_), Deleted(1), "FAILED_PRECONDITION";
            TooManyTasks { .. }, TooManyTasks { max: 1 }, "RESOURCE_EXHAUSTED";
            IdsExhausted, IdsExhausted, "RESOURCE_EXHAUSTED";
            NoSpace, NoSpace, "RESOURCE_EXHAUSTED";
            QueueFull { .. }, QueueFull { max: 1 }, "RESOURCE_EXHAUSTED";
            WatcherStalled { .. }, WatcherStalled { seconds: 1 }, "RESOURCE_EXHAUSTED";
            SnapshotNotTaken { .. }, SnapshotNotTaken { seconds: 1 }, "RESOURCE_EXHAUSTED";
            Unreadable, Unreadable, "INTERNAL";
            Expired, Expired, "DEADLINE_EXCEEDED";
            ShuttingDown, ShuttingDown, "UNAVAILABLE";
            TooManyWatchers { .. }, TooManyWatchers { max: 1 }, "RESOURCE_EXHAUSTED";
            ListingTooLarge, ListingTooLarge, "RESOURCE_EXHAUSTED";
            ListingsPending, ListingsPending, "RESOURCE_EXHAUSTED";
            StoreBusy, StoreBusy, "UNAVAILABLE";
            OutcomeUnknown, OutcomeUnknown, "UNAVAILABLE";
        ];
        for (rejection, name) in table {
            let status = status(&rejection);
            // Such as `5-NOT_FOUND`.
            let code = format!("{:?}", status.code());
            assert_eq!(code.split_once('-').unwrap().1, name, "{rejection:?}");
            assert_eq!(status.message(), rejection.to_string());
        }
    }
}
