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
        | Rejection::PageToken => RpcStatusCode::INVALID_ARGUMENT,
        Rejection::NotFound(_) => RpcStatusCode::NOT_FOUND,
        Rejection::RevisionMismatch { .. } => RpcStatusCode::ABORTED,
        Rejection::Deleted(_) => RpcStatusCode::FAILED_PRECONDITION,
        Rejection::TooManyTasks { .. }
        | Rejection::IdsExhausted
        | Rejection::NoSpace
        | Rejection::QueueFull { .. }
        | Rejection::WatcherTooSlow { .. }
        | Rejection::TooManyWatchers { .. }
        | Rejection::ListingTooLarge
        | Rejection::ListingsPending => RpcStatusCode::RESOURCE_EXHAUSTED,
        Rejection::Expired => RpcStatusCode::DEADLINE_EXCEEDED,
        Rejection::StoreBusy | Rejection::ShuttingDown | Rejection::OutcomeUnknown => {
            RpcStatusCode::UNAVAILABLE
        }
    }
}
