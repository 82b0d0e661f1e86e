//! The interface as a whole: who may call, which call it is, and the answer.

use tokio::time::{Instant, timeout_at};

use super::accept::accept;
use super::batch::accept_batch;
use super::call::Call;
use super::caller::Caller;
use super::list::list;
use super::operate::{close, redrive};
use super::problem::Problem;
use super::read::read;
use super::request::{FunctionUrlEvent, Request};
use super::response::Response;
use super::settings::ApiSettings;
use crate::code::Code;

/// The HTTP interface, behind a function URL.
#[derive(Clone, Debug)]
pub struct Api(ApiSettings);

impl Api {
    /// The interface of a stack.
    pub fn new(settings: ApiSettings) -> Api {
        Api(settings)
    }

    /// Answers a request before `until`.
    pub async fn answer(&self, event: FunctionUrlEvent, until: Instant) -> Response {
        let request = match Request::read(event) {
            Ok(request) => request,
            Err(problem) => return problem.response(),
        };
        let answered = async {
            self.admit(&request)?;
            self.call(&request, until).await
        };
        let answered = timeout_at(until, answered).await.unwrap_or_else(|_| Err(Problem::out_of_time()));
        let code = answered.as_ref().err().map(|problem| problem.code().as_str());
        let response = answered.unwrap_or_else(|problem| problem.response());
        let Request { method, path, caller, .. } = &request;
        let (caller, status) = (caller.as_ref().map(Caller::id), response.status_code);
        tracing::info!(method, path, caller, status, code, "answered a request");
        if method == "HEAD" { Response { body: String::new(), ..response } } else { response }
    }

    fn admit(&self, request: &Request) -> Result<(), Problem> {
        match request.caller.is_some() || self.0.is_open {
            true => Ok(()),
            false => Err(Problem::new(
                Code::Unauthenticated,
                "nobody signed the request; sign it by AWS Signature Version 4 for the service `lambda`",
            )),
        }
    }

    async fn call(&self, request: &Request, until: Instant) -> Result<Response, Problem> {
        match Call::of(&request.method, &request.path)? {
            Call::Accept => accept(&self.0, request, until).await,
            Call::AcceptBatch => accept_batch(&self.0, request).await,
            Call::List => list(&self.0, request).await,
            Call::Read(id) => read(&self.0, request, &id, until).await,
            Call::Redrive(id) => redrive(&self.0, request, &id).await,
            Call::Close(id) => close(&self.0, request, &id).await,
            Call::Explain(code) => Ok(Response::text(200, "text/markdown; charset=utf-8", code.page())),
        }
    }
}
