//! The token that opens Raft and Admin calls, where a database has one.

use crate::error::Fault;
use std::fmt;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Code, Request, Status};

const HEADER: &str = "authorization";

/// What a caller shows and a node asks for. The default is none: nothing is
/// shown, nobody is asked.
#[derive(Clone, Default)]
pub struct AccessToken(Option<MetadataValue<Ascii>>);

impl AccessToken {
    /// Takes the token from a text; white space around it does not count.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for one that is empty or cannot stand in a header.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Fault::invalid(
                "the token is empty: give one line of printable characters",
            ));
        }
        let mut header: MetadataValue<Ascii> = format!("Bearer {text}").parse().map_err(|_| {
            Fault::invalid("the token has unprintable characters: give one line of printable ones")
        })?;
        header.set_sensitive(true);
        Ok(Self(Some(header)))
    }

    /// Asks callers for this token.
    pub fn checked(self) -> AccessCheck {
        AccessCheck(self)
    }
}

/// Shown by every call of a client.
impl Interceptor for AccessToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.0 {
            request.metadata_mut().insert(HEADER, header.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "AccessToken(…)" } else { "AccessToken(none)" })
    }
}

/// Lets in only who shows the token.
#[derive(Clone, Debug)]
pub struct AccessCheck(AccessToken);

impl Interceptor for AccessCheck {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(expected) = &self.0.0 else { return Ok(request) };
        let shown = request.metadata().get(HEADER);
        if shown.is_some_and(|shown| same(shown.as_bytes(), expected.as_bytes())) {
            return Ok(request);
        }
        let what = if shown.is_some() { "another token" } else { "no token" };
        Err(Fault::new(
            Code::Unauthenticated,
            format!(
                "this port asks for the database's token, and the caller shows {what}: give the \
                 file with it, --token-file"
            ),
        )
        .not_executed()
        .into())
    }
}

/// Takes as long wherever the first difference is, so that timing tells nothing.
fn same(shown: &[u8], expected: &[u8]) -> bool {
    let differences = shown.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
    shown.len() == expected.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(shown: &AccessToken, expected: &AccessToken) -> Result<(), Code> {
        let request = shown.clone().call(Request::new(())).unwrap();
        expected.clone().checked().call(request).map(|_| ()).map_err(|status| status.code())
    }

    #[test]
    fn only_who_shows_the_token_is_let_in() {
        let (none, right) = (AccessToken::default(), AccessToken::parse("one\n").unwrap());
        assert_eq!(call(&right, &AccessToken::parse("one").unwrap()), Ok(()));
        for wrong in
            [none.clone(), AccessToken::parse("two").unwrap(), AccessToken::parse("onee").unwrap()]
        {
            assert_eq!(call(&wrong, &right), Err(Code::Unauthenticated));
        }
        assert_eq!(call(&right, &none), Ok(()));
    }

    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", AccessToken::parse("secret").unwrap()).contains("secret"));
    }
}
