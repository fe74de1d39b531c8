use std::process::ExitCode;

use crate::client::Code;

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    /// A failure without a code of its own.
    Failure = 1,
    /// An unknown command, or wrong arguments.
    Usage = 2,
    NotFound = 3,
    /// Bad input, a conflict, a wrong state, or a limit.
    Rejected = 4,
    NotPermitted = 5,
    /// The server cannot be reached, or is too slow.
    Unavailable = 6,
    /// 128 and the number of SIGINT.
    Interrupted = 130,
}

impl Exit {
    /// Combines two exit codes: the first failure decides.
    #[must_use]
    pub(crate) fn or(self, later: Exit) -> Exit {
        if self == Exit::Ok { later } else { self }
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Exit {
        match code {
            Code::NotFound => Exit::NotFound,
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::ResourceExhausted => Exit::Rejected,
            Code::PermissionDenied | Code::Unauthenticated => Exit::NotPermitted,
            Code::Unavailable | Code::DeadlineExceeded => Exit::Unavailable,
            Code::Cancelled
            | Code::Unknown
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Exit::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_status_code_maps_to_an_exit_code() {
        let table: String =
            Code::ALL.map(|code| format!("{} {}\n", Exit::from(code) as u8, code.name())).concat();
        expect![[r#"
            1 CANCELLED
            1 UNKNOWN
            4 INVALID_ARGUMENT
            6 DEADLINE_EXCEEDED
            3 NOT_FOUND
            4 ALREADY_EXISTS
            5 PERMISSION_DENIED
            4 RESOURCE_EXHAUSTED
            4 FAILED_PRECONDITION
            4 ABORTED
            4 OUT_OF_RANGE
            1 UNIMPLEMENTED
            1 INTERNAL
            6 UNAVAILABLE
            1 DATA_LOSS
            5 UNAUTHENTICATED
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn the_first_failure_decides() {
        use Exit::*;
        for (exits, decided) in [
            (vec![], Ok),
            (vec![Ok, Ok], Ok),
            (vec![Ok, NotFound, Rejected], NotFound),
            (vec![Rejected, Ok, NotFound], Rejected),
        ] {
            assert_eq!(exits.into_iter().fold(Ok, Exit::or), decided);
        }
    }
}
