use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::client::{CallError, Code};

/// An error answer: the HTTP status, and a JSON object with the Connect protocol's code and a
/// message.
#[derive(Debug)]
pub(crate) struct Error {
    status: StatusCode,
    code: Code,
    message: String,
}

impl Error {
    /// An error of HTTP itself, with a status that does not follow from the code.
    pub(crate) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Error {
        Error { status, code, message: message.into() }
    }
}

impl From<CallError> for Error {
    fn from(failed: CallError) -> Error {
        Error { status: status(failed.code), code: failed.code, message: failed.message }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = json!({ "code": name(self.code), "message": self.message });
        let json = HeaderValue::from_static("application/json");
        (self.status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
    }
}

/// Returns the HTTP status that the Connect protocol assigns to a code.
fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Cancelled => client_closed_request(),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// 499 is not a registered status, but the Connect protocol and many servers use it.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Returns the Connect protocol's name of a code: gRPC's in lower case, with one exception.
fn name(code: Code) -> String {
    match code {
        Code::Cancelled => "canceled".to_owned(),
        code => code.name().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_code_has_its_status_and_name() {
        let row = |code| format!("{} {}\n", status(code).as_u16(), name(code));
        expect![[r#"
            499 canceled
            500 unknown
            400 invalid_argument
            504 deadline_exceeded
            404 not_found
            409 already_exists
            403 permission_denied
            429 resource_exhausted
            400 failed_precondition
            409 aborted
            400 out_of_range
            501 unimplemented
            500 internal
            503 unavailable
            500 data_loss
            401 unauthenticated
        "#]]
        .assert_eq(&Code::ALL.map(row).concat());
    }
}
