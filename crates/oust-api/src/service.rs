//! The APIs as a tower service.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use tower_service::Service;

use crate::api::{Api, MAX_BODY};
use crate::call::json;

/// [`Api`] as a [`tower_service::Service`] over requests with any body, to be mounted in any hyper, axum or tonic program.
#[derive(Debug, Clone)]
pub struct ApiService {
    api: Arc<Api>,
}

impl ApiService {
    /// The service of an API.
    pub fn new(api: Arc<Api>) -> Self {
        Self { api }
    }
}

impl<B> Service<Request<B>> for ApiService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = Arc::clone(&self.api);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let reply = match Limited::new(body, MAX_BODY).collect().await {
                Ok(body) => api.handle(&Request::from_parts(parts, body.to_bytes())),
                // Short of the limit the only way to fail is a connection that broke, which gets no answer anyway.
                Err(_) => {
                    let message = format!("the body is longer than {MAX_BODY} bytes");
                    json(StatusCode::PAYLOAD_TOO_LARGE, &serde_json::json!({ "message": message }))
                }
            };
            Ok(reply.map(Full::new))
        })
    }
}
