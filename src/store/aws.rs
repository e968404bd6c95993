//! What DynamoDB and S3 have in common: credentials, region and endpoint by AWS's own chain, and errors in words.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::config::http::HttpResponse;
use aws_smithy_http_client::{Builder, tls};

use crate::error::{Error, Result};

/// Tries of one request by the SDK itself. It waits between them at random, at most 100, 200, 400, … ms: so what is away for some
/// seconds is waited for.
const TRIES: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// How long throttling may last, where nobody said.
const THROTTLE_MAX: Duration = Duration::from_secs(15 * 60);
static THROTTLE_TIMEOUT: OnceLock<Duration> = OnceLock::new();

/// Says once, for the whole process, how long a store may throttle a request before the command gives up.
pub(crate) fn throttle_at_most(timeout: Duration) {
    // Whoever said it first was the command line, which is read once.
    let _ = THROTTLE_TIMEOUT.set(timeout);
}

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

/// A request that did not go through.
pub(crate) struct Refused {
    again: Again,
    /// Nobody knows whether the store did what was asked.
    is_unknown: bool,
    error: Error,
}

/// Whether a request may get through when it is repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Never,
    /// The connection broke while the answer was on its way.
    Soon,
    /// The store asks for fewer requests.
    Later,
}

impl Refused {
    /// What the SDK gave up on; `place` names the store and its object.
    pub(crate) fn new<E>(place: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Self::of(place, error, true)
    }

    /// The same of a request that was not signed.
    pub(crate) fn unsigned<E>(place: &str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        Self::of(place, error, false)
    }

    fn of<E>(place: &str, error: SdkError<E, HttpResponse>, is_signed: bool) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let again = if is_throttling(&error) { Again::Later } else { Again::Never };
        let is_unknown = match &error {
            SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
            SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
            SdkError::ServiceError(answer) => answer.raw().status().is_server_error(),
            _ => false,
        };
        Self { again, is_unknown, error: failed(place, error, is_signed) }
    }

    /// An answer whose body broke off.
    pub(crate) fn broken(place: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = Error::failed(format!("{place}: the connection broke")).caused_by(error);
        Self {
            again: Again::Soon,
            is_unknown: true,
            error: error.help("what was staged stays staged: run the same command again"),
        }
    }

    /// An answer that is none, since the store wants fewer requests.
    pub(crate) fn throttled(place: &str, how: &str) -> Self {
        Self { again: Again::Later, is_unknown: false, error: Error::failed(format!("{place}: {how}")) }
    }

    /// What no repetition mends.
    pub(crate) fn for_good(error: Error) -> Self {
        Self { again: Again::Never, is_unknown: false, error }
    }

    /// Whether nobody knows if the store did what was asked: its answer is missing, or it failed over it.
    pub(crate) fn is_unknown(&self) -> bool {
        self.is_unknown
    }

    /// What there is to say to the user.
    pub(crate) fn into_error(self) -> Error {
        self.error
    }
}

const ASK_FOR_LESS: &str = "what was staged stays staged: run the same command again later or with a longer --throttle-timeout, \
    and ask for less at a time: --max-rcu for DynamoDB, fewer --threads for S3";

const WRITE_LESS: &str = "what was written stays written: run the same command again later to go on, or with a longer \
    --throttle-timeout, or with a --rate that the table takes";

/// How long to go on with one request that does not get through.
pub(crate) struct Patience<'a> {
    place: &'a str,
    help: &'static str,
    began: Instant,
    pause: Duration,
    broken: u32,
}

impl<'a> Patience<'a> {
    /// With a request to the store and object that `place` names.
    pub(crate) fn with(place: &'a str) -> Self {
        Self { place, help: ASK_FOR_LESS, began: Instant::now(), pause: PAUSE_FIRST, broken: 0 }
    }

    /// With a request that writes there.
    pub(crate) fn with_writing(place: &'a str) -> Self {
        Self { help: WRITE_LESS, ..Self::with(place) }
    }

    /// Waits until the request may be sent again: for as long as the store only wants fewer of them, and a few times where an
    /// answer broke off.
    ///
    /// # Errors
    /// What no repetition mends; throttling for longer than `--throttle-timeout` (exit 3).
    pub(crate) async fn wait(&mut self, refused: Refused) -> Result<()> {
        let (place, throttled) = (self.place, self.began.elapsed());
        let left = THROTTLE_TIMEOUT.get().unwrap_or(&THROTTLE_MAX).saturating_sub(throttled);
        match refused.again {
            Again::Never => return Err(refused.error),
            Again::Soon if self.broken == TRIES => return Err(refused.error),
            Again::Soon => {
                self.broken += 1;
                tracing::warn!("{}; asking again", refused.error);
            }
            Again::Later if left.is_zero() => {
                return Err(Error::incomplete(format!("{place}: throttled for {} s", throttled.as_secs()))
                    .caused_by(refused.error.to_string())
                    .help(self.help));
            }
            Again::Later => {
                self.pause = self.pause.min(left);
                tracing::warn!("{place}: throttled; waiting {} ms", self.pause.as_millis());
            }
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

/// Asks until there is an answer; see [`Patience::wait`].
///
/// # Errors
/// A request that does not get through.
pub(crate) async fn patiently<T>(place: &str, mut ask: impl AsyncFnMut() -> Result<T, Refused>) -> Result<T> {
    let mut patience = Patience::with(place);
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(refused) => patience.wait(refused).await?,
        }
    }
}

/// Writes until there is an answer: only throttling is waited for, see [`Patience::wait`].
///
/// # Errors
/// A request that does not get through, with whether its end is known.
pub(crate) async fn insist<T>(
    place: &str,
    mut ask: impl AsyncFnMut() -> Result<T, Refused>,
) -> Result<T, Refused> {
    let mut patience = Patience::with_writing(place);
    loop {
        match ask().await {
            Err(refused) if refused.again == Again::Later => {
                patience.wait(refused).await.map_err(Refused::for_good)?;
            }
            answered => return answered,
        }
    }
}

/// Whether the store asks for fewer requests.
pub(super) fn is_throttling<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    matches!(
        code(error),
        Some(
            "ProvisionedThroughputExceededException"
                | "Throttling"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "LimitExceededException"
                | "SlowDown"
        )
    )
}

/// The store's word for what is wrong. An answer to `HEAD` has no body to say it in, so there its status does.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    let said = error.as_service_error().and_then(ProvideErrorMetadata::code);
    said.or_else(|| match error.raw_response()?.status().as_u16() {
        301 => Some("PermanentRedirect"),
        403 => Some("AccessDenied"),
        404 => Some("NotFound"),
        503 => Some("SlowDown"),
        _ => None,
    })
}

/// The error of a request that failed for good. `place` names the store and its object.
pub(super) fn failed<E>(place: &str, error: SdkError<E, HttpResponse>, is_signed: bool) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = code(&error).unwrap_or_default().to_owned();
    // The SDK's own chain of causes, in one line.
    let causes = DisplayErrorContext(&error).to_string();
    let is_client_error = error.raw_response().is_some_and(|answer| answer.status().is_client_error());
    let region = error.raw_response().and_then(|answer| answer.headers().get("x-amz-bucket-region"));
    let place = match region.filter(|_| code == "PermanentRedirect") {
        Some(region) => format!("{place} (in region {region})"),
        None => place.to_owned(),
    };
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    // What follows the first line of a refused signature is the request, with its session token.
    let message = message.lines().next().unwrap_or_default().to_owned();
    let help = match code.as_str() {
        "" if format!("{error:?}").to_lowercase().contains("credentials") => {
            format!("no credentials were found; {}", chain())
        }
        "" if causes.contains("Missing Region") || causes.contains("missing signing region") => {
            "no region is known: give it as `region`, in AWS_REGION or in the profile".to_owned()
        }
        code => help(code, is_signed, is_client_error),
    };
    let said = match (code.is_empty(), message.is_empty()) {
        (true, _) => "the request did not get through".to_owned(),
        (false, true) => code,
        (false, false) => format!("{code}: {message}"),
    };
    let cause: String = causes.split(" (").next().unwrap_or_default().chars().take(300).collect();
    Error::failed(format!("{place}: {said}")).caused_by(cause).help(help)
}

/// The next step, by the store's word for what is wrong.
fn help(code: &str, is_signed: bool, is_client_error: bool) -> String {
    let of_credentials = |what: &str| match is_signed {
        true => format!("{what}; {}", chain()),
        false => {
            "requests are not signed (`unsigned`), and the store does not allow this to everybody".to_owned()
        }
    };
    let help = match code {
        "AccessDeniedException" | "AccessDenied" => {
            return of_credentials("the credentials do not allow this: see the permissions in the docs");
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            return of_credentials(
                "the credentials have expired: renew them (`aws sso login`, a new session); what was staged stays staged",
            );
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "MissingAuthenticationTokenException"
        | "SignatureDoesNotMatch" => {
            return of_credentials("the credentials are not accepted: check them, and the region");
        }
        "RequestTimeTooSkewed" => "this machine's clock is wrong: set it",
        "ResourceNotFoundException" => {
            "check the table's name, the region and the account of the credentials"
        }
        "NoSuchBucket" => "check the bucket's name, and `endpoint` where the store is not AWS",
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            "the bucket is in another region: give it as `region`"
        }
        "InvalidObjectState" => {
            "the object is in an archive: restore it first (`aws s3api restore-object`), then stage again"
        }
        "ValidationException" => {
            "the service does not take this request: check the table's name and the dataset's options"
        }
        "NotFound" | "NoSuchKey" => "check the bucket's and the object's names",
        "" => "check that the endpoint is there and can be reached; what was staged stays staged",
        _ if code != "RequestTimeout" && is_client_error => {
            "mend what the store says; what was staged stays staged"
        }
        _ => "what was staged stays staged: run the same command again",
    };
    help.to_owned()
}

/// Where AWS's chain found the credentials, or where it looks for them.
fn chain() -> String {
    let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let profile = given("AWS_PROFILE");
    if given("AWS_ACCESS_KEY_ID").is_some() && given("AWS_SECRET_ACCESS_KEY").is_some() {
        let before =
            profile.map_or(String::new(), |name| format!(", which goes before the profile `{name}`"));
        return format!("used: AWS_ACCESS_KEY_ID of the environment{before}");
    }
    let profile = match profile {
        Some(name) => format!("profile `{name}` (AWS_PROFILE)"),
        None => "profile `default`".to_owned(),
    };
    format!("tried: environment, {profile}, web identity, container, instance")
}
