use grpcio::RpcStatusCode;

/// gRPC's status codes, without OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    pub const ALL: [Code; 16] = [
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// The code's name in gRPC's documentation.
    pub fn name(self) -> &'static str {
        match self {
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
            Code::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(self) -> bool {
        match self {
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown => true,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::DataLoss
            | Code::Unauthenticated => false,
        }
    }

    /// Converts gRPC's numbers, 1 to 16 in the order of [`Code::ALL`]. Others are UNKNOWN.
    fn from_status(code: RpcStatusCode) -> Code {
        let number = i32::from(code);
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        Code::ALL.get(index).copied().unwrap_or(Code::Unknown)
    }
}

/// A call that failed. Its display is a sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    pub code: Code,
    pub message: String,
}

impl CallError {
    pub fn new(code: Code, message: impl Into<String>) -> CallError {
        CallError { code, message: message.into() }
    }

    /// Puts an error of the transport into the user's terms.
    pub(super) fn of(error: &grpcio::Error, method: &str, server: &str) -> CallError {
        let grpcio::Error::RpcFailure(status) = error else {
            return CallError::new(Code::Internal, format!("cannot understand {server}: {error}"));
        };
        // This client never reads the status of a call that it cancelled, so the server
        // cancelled it: it is shutting down and does not answer calls that have begun.
        let code = match Code::from_status(status.code()) {
            Code::Cancelled => Code::Unavailable,
            code => code,
        };
        let call = method.rsplit('/').next().unwrap_or(method);
        let message = status.message();
        CallError::new(
            code,
            match code {
                Code::Unimplemented => {
                    format!("the server at {server} does not have {call}: use todod")
                }
                Code::DeadlineExceeded => {
                    format!("{server} did not answer in time: raise --timeout")
                }
                Code::Unavailable => format!("cannot reach {server}: {}", cause(message)),
                _ if message.is_empty() => format!("{server} answered {call} with {}", code.name()),
                _ => message.to_owned(),
            },
        )
    }
}

/// Removes what the transport wraps around the system's own message.
fn cause(message: &str) -> String {
    if message.starts_with("DNS resolution failed") {
        return unresolved(message);
    }
    match message.strip_prefix("failed to connect to all addresses") {
        Some(why) => {
            let system = why.rsplit(": ").next().unwrap_or(why);
            format!("{system}; is todod running there?")
        }
        None => message.to_owned(),
    }
}

/// Says why a host name has no address. The transport's text names its resolver and its
/// internal state.
fn unresolved(message: &str) -> String {
    let why = message.rsplit(": ").next().unwrap_or(message);
    match why {
        "Domain name not found" | "DNS server returned answer with no data" => {
            "the host was not found; check its name".to_owned()
        }
        _ => "the name of the host cannot be looked up; check the network and the name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_plain_sentences() {
        let dns = "DNS resolution failed for x.test:1: C-ares status is not ARES_SUCCESS \
            qtype=A name=x.test is_balancer=0: ";
        for (message, expected) in [
            (format!("{dns}Domain name not found"), "the host was not found; check its name"),
            (
                format!("{dns}DNS server returned answer with no data"),
                "the host was not found; check its name",
            ),
            (
                format!("{dns}Timeout while contacting DNS servers"),
                "the name of the host cannot be looked up; check the network and the name",
            ),
            (
                "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: \
                 Connection refused"
                    .to_owned(),
                "Connection refused; is todod running there?",
            ),
            ("the server is shutting down".to_owned(), "the server is shutting down"),
        ] {
            assert_eq!(cause(&message), expected, "{message}");
        }
    }

    #[test]
    fn every_status_maps_to_its_code() {
        for (number, code) in (1..).zip(Code::ALL) {
            assert_eq!(Code::from_status(RpcStatusCode::from(number)), code);
            let theirs = format!("{:?}", RpcStatusCode::from(number));
            assert_eq!(theirs, format!("{number}-{}", code.name()));
        }
        for number in [-1, 0, 17, i32::MAX, i32::MIN + 1] {
            assert_eq!(Code::from_status(RpcStatusCode::from(number)), Code::Unknown);
        }
    }
}
