//! The middleware that lets requests through.

use super::admit::{Admitted, Attempt, Cost, Denied};
use super::call::method_not_allowed;
use super::caller::Caller;
use super::gate::{
    Access, AuthMode, counted_address, credential, forbidden, has_own_credential, token_in_query,
};
use super::rate::Counted;
use super::rule::{Need, PathRules};
use crate::http::{AllowedOrigins, Problem, TrustedProxies, is_preflight, preflight};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, web};
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::rc::Rc;

/// What a page of a listed origin may try where there is no call: it may see that there is none.
const ANYWHERE: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// What decides who gets in over HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Door {
    pub access: Access,
    pub origins: AllowedOrigins,
    pub trusted_proxies: TrustedProxies,
}

impl Door {
    /// Refuses what a page of another site does through its visitor's browser. `acts` says that the
    /// request changes something, or goes on as a stream that the page could read.
    ///
    /// Where nobody has to log in, nothing that is read may be left to such pages either, and the name
    /// the server was asked by must be one that nobody else can have (`http::host`): what a proxy of
    /// this machine sends, a browser of it could as well.
    pub(crate) fn check_page(&self, headers: &HeaderMap, acts: bool) -> Result<(), Problem> {
        let is_open = self.access.mode() == AuthMode::Off;
        if !has_own_credential(headers) {
            if acts {
                self.origins.check(headers)?;
            }
            if is_open {
                self.origins.check_site(headers)?;
            }
        }
        if is_open {
            self.origins.check_host(headers)?;
        }
        Ok(())
    }

    fn address(&self, request: &ServiceRequest) -> Option<IpAddr> {
        self.trusted_proxies
            .client(request.peer_addr(), request.headers())
    }

    /// Tells a browser what pages of a listed origin may do here; it asks without credentials.
    fn preflight(
        &self,
        rules: Option<&PathRules>,
        request: &ServiceRequest,
    ) -> Result<HttpResponse, Problem> {
        let headers = request.headers();
        self.check_page(headers, true)?;
        if let Some(counted) = counted_address(self.address(request)) {
            self.access.limits().api.check(counted)?;
        }
        Ok(match rules {
            Some(rules) => preflight(headers, rules.methods()),
            None => preflight(headers, ANYWHERE.iter()),
        })
    }
}

/// As whom a request is counted, in limits and in budgets; `None` for one that nothing is counted of.
/// The guard has put it there for every request that has a [`Caller`].
#[derive(Debug, Clone, Copy)]
pub struct CountedAs(pub Option<Counted>);

impl FromRequest for CountedAs {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let counted = request.extensions().get::<Self>().copied();
        ready(counted.ok_or_else(Problem::internal))
    }
}

/// Lets a request through that may be made, with its [`Caller`]; answers the others.
///
/// Every request that reaches a handler has passed this guard with the rules of the path it is
/// registered under, however its URL was spelled. `None` is for what is no call at all.
pub(crate) async fn guard(
    rules: Option<Rc<PathRules>>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(door) = request.app_data::<web::Data<Door>>().cloned() else {
        return Ok(request.error_response(Problem::internal()));
    };
    if is_preflight(request.method(), request.headers()) {
        return Ok(match door.preflight(rules.as_deref(), &request) {
            Ok(answer) => request.into_response(answer),
            Err(problem) => request.error_response(problem),
        });
    }
    match admit(&door, rules.as_deref(), &request) {
        Ok(admitted) => {
            if let Some((caller, counted_as)) = admitted {
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(counted_as);
            }
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(problem) => {
            // What may still come of a body is not read.
            let has_body = !request.method().is_safe();
            let problem = if has_body { problem.closing() } else { problem };
            Ok(request.error_response(problem))
        }
    }
}

/// Who may make this request; `None` where it needs nobody.
fn admit(
    door: &Door,
    rules: Option<&PathRules>,
    request: &ServiceRequest,
) -> Result<Option<(Caller, CountedAs)>, Problem> {
    door.check_page(request.headers(), !request.method().is_safe())?;
    let access = &door.access;
    let need = rules.and_then(|rules| rules.need(request.method()));
    if need == Some(Need::Nothing) {
        return Ok(None);
    }
    let address = door.address(request);
    if need == Some(Need::Itself) {
        if let Some(counted) = counted_address(address) {
            access.limits().api.check(counted)?;
        }
        return Ok(None);
    }
    let may_be_in_query = rules.is_some_and(|rules| rules.takes_token_in_query);
    let in_query = || may_be_in_query.then(|| token_in_query(request.query_string()));
    let credential = credential(request.headers()).or_else(|| in_query()?);
    let admitted = access.admit(&Attempt {
        credential: credential.as_deref(),
        address,
        need,
        cost: Cost::Request,
    });
    let Admitted { caller, counted } = admitted.map_err(|denied| match denied {
        Denied::Refused(refusal) => refusal.into(),
        Denied::Limited(limited) => Problem::from(limited),
        Denied::Role(role) => forbidden(role),
    })?;
    // What is not there at all may be told.
    if let (None, Some(rules)) = (need, rules) {
        return Err(method_not_allowed(rules.methods()));
    }
    Ok(Some((caller, CountedAs(counted))))
}
