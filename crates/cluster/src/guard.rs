//! The token, shown with every request and asked for at every door.
//!
//! Ballista lets its connections be configured, not each of its requests, so the token travels in the
//! one header that belongs to a connection: `user-agent`, before the name of the transport.

use std::sync::Arc;

use ballista_core::extension::EndpointOverrideFn;
use retrace_sign::Token;
use tonic::service::Interceptor;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// Shows the token on every connection that is made.
pub(crate) fn shows(token: &Token) -> EndpointOverrideFn {
    let bearer = token.bearer();
    Arc::new(move |endpoint: Endpoint| Ok(endpoint.user_agent(bearer.clone())?))
}

/// Lets nobody in who does not show the token.
#[derive(Clone)]
pub(crate) struct Guard(pub(crate) Arc<Token>);

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let agent = request.metadata().get("user-agent").map_or(&b""[..], |value| value.as_encoded_bytes());
        // The transport's own name comes after the last space.
        let shown = agent.iter().rposition(|byte| *byte == b' ').map_or(agent, |at| &agent[..at]);
        match self.0.admits(shown) {
            true => Ok(request),
            false => Err(Status::unauthenticated("the cluster's token was not shown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_in_without_the_token() {
        let mut guard = Guard(Arc::new("0123456789abcdef".parse().unwrap()));
        let mut tried = |agent: Option<&'static str>| {
            let mut request = Request::new(());
            if let Some(agent) = agent {
                request.metadata_mut().insert("user-agent", agent.parse().unwrap());
            }
            guard.call(request).is_ok()
        };
        assert!(tried(Some("Bearer 0123456789abcdef tonic/0.14")));
        for agent in [
            "Bearer 0123456789abcdee tonic/0.14",
            "tonic/0.14",
            "0123456789abcdef tonic/0.14",
            "Bearer 0123456789abcdef",
        ] {
            assert!(!tried(Some(agent)), "{agent}");
        }
        assert!(!tried(None));
    }
}
