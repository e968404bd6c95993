//! What DynamoDB and S3 have in common: credentials, region and endpoint by AWS's own chain, and errors in words.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{Builder, tls};

use crate::error::Error;

/// Tries of one request by the SDK itself. It waits between them at random, at most 100, 200, 400, … ms: so what is away for some
/// seconds is waited for.
const TRIES: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// The configuration: profile, environment, container or instance, as the ecosystem's tools read them; what the spec says wins.
pub(crate) async fn config(region: Option<&str>, endpoint: Option<&str>, unsigned: bool) -> SdkConfig {
    // ring, which sqlx has too, rather than a second implementation of TLS's ciphers.
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = Builder::new().tls_provider(tls).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES).with_initial_backoff(PAUSE_FIRST))
        .timeout_config(timeouts.build());
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if unsigned {
        loader = loader.no_credentials();
    }
    loader.load().await
}

/// Whether the store asks for fewer requests.
pub(crate) fn is_throttling<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    matches!(
        error.as_service_error().and_then(ProvideErrorMetadata::code),
        Some(
            "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "LimitExceededException"
                | "SlowDown"
        )
    )
}

/// The error of a request that failed for good. `place` names the store and its object.
pub(crate) fn failed<E, R>(place: &str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default().to_owned();
    let message =
        error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default().to_owned();
    let help = match code.as_str() {
        "AccessDeniedException" | "AccessDenied" => {
            "the credentials do not allow this: see the permissions in the docs"
        }
        "ExpiredToken" | "ExpiredTokenException" => {
            "the credentials have expired: renew them (`aws sso login`, a new session); what was staged stays staged"
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch" => {
            "the credentials are not accepted: check AWS_PROFILE, AWS_ACCESS_KEY_ID and the region"
        }
        "ResourceNotFoundException" => {
            "check the table's name, the region and the account of the credentials"
        }
        "NoSuchBucket" => "check the bucket's name, and `endpoint` where the store is not AWS",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket is in another region: give it as `region`"
        }
        "" if format!("{error:?}").contains("CredentialsNotLoaded")
            || format!("{error:?}").contains("credentials") =>
        {
            "no credentials were found; tried: environment, profile (AWS_PROFILE), web identity, container, instance"
        }
        "" => "check that the endpoint is there and can be reached; what was staged stays staged",
        _ => "what was staged stays staged: run the same command again",
    };
    let said = match (code.is_empty(), message.is_empty()) {
        (true, _) => "the request did not get through".to_owned(),
        (false, true) => code,
        (false, false) => format!("{code}: {message}"),
    };
    // The SDK's own chain of causes, in one line.
    let cause = DisplayErrorContext(&error).to_string();
    let cause: String = cause.split(" (").next().unwrap_or_default().chars().take(300).collect();
    Error::failed(format!("{place}: {said}")).caused_by(cause).help(help)
}
