//! What stands in an `authorization` header.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// It is there, and is nothing that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The token of `Bearer TOKEN`.
pub fn bearer(value: &str) -> Result<&str, Malformed> {
    of_scheme(value, "bearer").filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic())).ok_or(Malformed)
}

/// The same, or the password of `Basic`, whatever the user: a browser asks people for these two and can send nothing else.
pub fn bearer_or_password(value: &str) -> Result<Cow<'_, str>, Malformed> {
    let Some(encoded) = of_scheme(value, "basic") else { return bearer(value).map(Cow::Borrowed) };
    let decoded = STANDARD.decode(encoded).map_err(|_| Malformed)?;
    let decoded = String::from_utf8(decoded).map_err(|_| Malformed)?;
    match decoded.split_once(':') {
        Some((_, password)) if !password.is_empty() => Ok(Cow::Owned(password.to_owned())),
        _ => Err(Malformed),
    }
}

/// What follows the scheme, whose case does not matter.
fn of_scheme<'a>(value: &'a str, scheme: &str) -> Option<&'a str> {
    let (named, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    (named.eq_ignore_ascii_case(scheme) && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_passwords_are_taken_out_of_their_header_and_all_else_is_malformed() {
        assert_eq!(bearer("Bearer abc.d_e-f"), Ok("abc.d_e-f"));
        assert_eq!(bearer("bEARER  abc "), Ok("abc"));
        // `anybody:secret:1`
        assert_eq!(bearer_or_password("Basic YW55Ym9keTpzZWNyZXQ6MQ==").as_deref(), Ok("secret:1"));
        assert_eq!(bearer_or_password("Bearer abc").as_deref(), Ok("abc"));
        for wrong in ["", "abc", "Bearer", "Bearer ", "Bearer a b", "Bearer ä", "Token abc", "Basic YQ=="] {
            assert_eq!(bearer(wrong), Err(Malformed), "{wrong}");
        }
        for wrong in ["Basic", "Basic !", "Basic YQ==", "Basic YTo=", "Basic //8="] {
            assert_eq!(bearer_or_password(wrong), Err(Malformed), "{wrong}");
        }
    }
}
