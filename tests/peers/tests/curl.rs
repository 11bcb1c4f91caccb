//! curl, as a client of the sidecar.

use peers::{Curled, Model, Sidecar, Taken, curl, whole};
use tempfile::NamedTempFile;

/// Says what it was sent: how many bytes, without their framing.
fn counting(request: &Taken) -> Vec<u8> {
    whole(&format!("{} bytes", request.body.len()))
}

/// A model and the sidecar beside it, with nothing set.
async fn pair(answers: fn(&Taken) -> Vec<u8>) -> (Model, Sidecar) {
    let model = Model::start(answers).await;
    let sidecar = Sidecar::beside(model.address(), &[]).await;
    (model, sidecar)
}

/// So many bytes in a file.
fn file(bytes: usize) -> (NamedTempFile, String) {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'x'; bytes]).unwrap();
    let name = format!("@{}", file.path().display());
    (file, name)
}

/// curl found nothing wrong.
#[track_caller]
fn content(curled: &Curled) {
    assert_eq!(curled.code, 0, "{curled:?}");
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    let (model, sidecar) = pair(counting).await;
    let [one, two, three] = ["/1", "/2", "/3"].map(|path| sidecar.url(path));
    let Some(seen) = curl(&["--write-out", "\nconnects: %{num_connects}\n", &one, &two, &three]).await else { return };
    content(&seen);
    assert_eq!(seen.statuses(), ["200"; 3]);
    assert_eq!(seen.header("connects"), ["1", "0", "0"]);
    assert_eq!(
        model.taken().iter().map(|taken| taken.connection).max(),
        model.taken().first().map(|first| first.connection)
    );
}

#[tokio::test]
async fn an_upload_in_chunks_stays_one() {
    let (model, sidecar) = pair(counting).await;
    let (_file, name) = file(300_000);
    let url = sidecar.url("/");
    let Some(seen) = curl(&["--header", "transfer-encoding: chunked", "--data-binary", &name, &url]).await else {
        return;
    };
    content(&seen);
    assert!(seen.out.ends_with("300000 bytes"), "{}", seen.out);
    let taken = model.only();
    assert_eq!((taken.header("transfer-encoding"), taken.header("content-length")), (vec!["chunked"], vec![]));
}

#[tokio::test]
async fn an_upload_of_known_length_stays_one() {
    let (model, sidecar) = pair(counting).await;
    let (_file, name) = file(300_000);
    let Some(seen) = curl(&["--data-binary", &name, &sidecar.url("/")]).await else { return };
    content(&seen);
    let taken = model.only();
    assert_eq!((taken.header("transfer-encoding"), taken.header("content-length")), (vec![], vec!["300000"]));
}

#[tokio::test]
async fn who_expects_a_100_gets_one_and_the_model_is_not_asked_for_it() {
    let (model, sidecar) = pair(counting).await;
    let url = sidecar.url("/");
    let expecting =
        ["--verbose", "--expect100-timeout", "40", "--header", "expect: 100-continue", "--data", "0123456789"];
    let Some(seen) = curl(&[&expecting[..], &[&url]].concat()).await else { return };
    content(&seen);
    assert_eq!(seen.statuses(), ["100", "200"]);
    assert!(seen.out.ends_with("10 bytes"), "{}", seen.out);
    assert_eq!(model.only().header("expect"), Vec::<&str>::new());
}

#[tokio::test]
async fn who_expects_a_100_and_is_refused_uploads_nothing() {
    // A port that nobody listens on: the model is never ready, and nobody may wait.
    let sidecar = Sidecar::beside("127.0.0.1:9".parse().unwrap(), &[("QUEUE_DEPTH", "0")]).await;
    let (_file, name) = file(5_000_000);
    let url = sidecar.url("/");
    let arguments = ["--expect100-timeout", "40", "--header", "expect: 100-continue", "--data-binary", &name];
    let report = ["--write-out", "\nuploaded: %{size_upload}\n", &url];
    let Some(seen) = curl(&[&arguments[..], &report].concat()).await else { return };
    content(&seen);
    assert_eq!(seen.statuses(), ["503"]);
    assert_eq!((seen.header("rouse-reason"), seen.header("uploaded")), (vec!["queue-full"], vec!["0"]));
}

#[tokio::test]
async fn the_answer_to_head_has_the_length_and_no_body() {
    fn headed(request: &Taken) -> Vec<u8> {
        if request.head.starts_with("HEAD ") {
            b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\netag: \"a\"\r\n\r\n".to_vec()
        } else {
            whole("after")
        }
    }
    let (_model, sidecar) = pair(headed).await;
    let (one, two) = (sidecar.url("/1"), sidecar.url("/2"));
    let arguments = ["--head", "--write-out", "connects: %{num_connects}\n", &one];
    let then = ["--next", "--silent", "--include", "--write-out", "\nconnects: %{num_connects}\n", &two];
    let Some(seen) = curl(&[&arguments[..], &then].concat()).await else { return };
    content(&seen);
    assert_eq!(seen.statuses(), ["200", "200"]);
    assert_eq!(seen.header("content-length"), ["12345", "5"]);
    assert_eq!(seen.header("connects"), ["1", "0"]);
}

#[tokio::test]
async fn a_204_and_a_304_have_no_body_and_the_connection_goes_on() {
    fn bare(request: &Taken) -> Vec<u8> {
        match request.path() {
            "/204" => b"HTTP/1.1 204 No Content\r\nx-of: 204\r\n\r\n".to_vec(),
            "/304" => b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".to_vec(),
            _ => whole("after"),
        }
    }
    let (_model, sidecar) = pair(bare).await;
    let [one, two, three] = ["/204", "/304", "/"].map(|path| sidecar.url(path));
    let Some(seen) = curl(&["--write-out", "\nconnects: %{num_connects}\n", &one, &two, &three]).await else { return };
    content(&seen);
    assert_eq!(seen.statuses(), ["204", "304", "200"]);
    // A length would be of the body that GET has, and nobody knows it here.
    assert_eq!(seen.header("content-length"), ["5"]);
    assert_eq!(seen.header("transfer-encoding"), Vec::<&str>::new());
    assert_eq!(seen.header("connects"), ["1", "0", "0"]);
}

#[tokio::test]
async fn trailers_of_an_answer_reach_who_asks_for_them() {
    fn trailing(_: &Taken) -> Vec<u8> {
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n4\r\nabc\n\r\n0\r\nx-sum: 6\r\n\r\n"
            .to_vec()
    }
    let (model, sidecar) = pair(trailing).await;
    let url = sidecar.url("/");
    let Some(http1) = curl(&["--header", "te: trailers", "--header", "connection: te", &url]).await else { return };
    let Some(http2) = curl(&["--http2-prior-knowledge", "--header", "te: trailers", &url]).await else { return };
    for seen in [http1, http2] {
        content(&seen);
        assert_eq!(seen.header("x-sum"), ["6"], "{}", seen.out);
    }
    assert!(model.taken().iter().all(|taken| taken.header("te") == ["trailers"]), "{:?}", model.taken());
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_has_ended_arrives() {
    fn refusing(request: &Taken) -> Vec<u8> {
        match request.path() {
            "/early/close" => b"HTTP/1.1 413 Too Much\r\nconnection: close\r\ncontent-length: 3\r\n\r\nno\n".to_vec(),
            "/early/stay" => b"HTTP/1.1 413 Too Much\r\ncontent-length: 3\r\n\r\nno\n".to_vec(),
            _ => whole("after"),
        }
    }
    let (_model, sidecar) = pair(refusing).await;
    let (_file, name) = file(30_000_000);
    for path in ["/early/close", "/early/stay"] {
        let Some(seen) = curl(&["--header", "expect:", "--data-binary", &name, &sidecar.url(path)]).await else {
            return;
        };
        assert_eq!(seen.statuses(), ["413"], "{path}: {seen:?}");
        assert!(seen.out.ends_with("no\n"), "{path}: {seen:?}");
    }
    let Some(after) = curl(&[&sidecar.url("/")]).await else { return };
    assert_eq!(after.statuses(), ["200"]);
}

#[tokio::test]
async fn http2_by_prior_knowledge_reaches_a_model_of_http1() {
    let (model, sidecar) = pair(counting).await;
    let (_file, name) = file(1_000_000);
    let url = sidecar.url("/");
    let arguments = ["--http2-prior-knowledge", "--data-binary", &name, "--write-out", "\nspoken: %{http_version}\n"];
    let Some(seen) = curl(&[&arguments[..], &[&url]].concat()).await else { return };
    content(&seen);
    assert_eq!((seen.statuses(), seen.header("spoken")), (vec!["200"], vec!["2"]));
    assert!(seen.out.contains("1000000 bytes"), "{}", seen.out);
    let host = sidecar.direct().to_string();
    for taken in model.taken() {
        assert_eq!((taken.header("host"), taken.head.contains("HTTP/1.1\r\n")), (vec![host.as_str()], true));
    }
}

#[tokio::test]
async fn an_offer_of_http2_on_the_connection_is_ignored() {
    let (model, sidecar) = pair(counting).await;
    let Some(seen) = curl(&["--http2", "--verbose", &sidecar.url("/")]).await else { return };
    content(&seen);
    assert!(seen.told.to_lowercase().contains("> upgrade: h2c"), "curl offers it: {}", seen.told);
    assert_eq!(seen.statuses(), ["200"]);
    assert!(seen.out.starts_with("HTTP/1.1 200"), "{}", seen.out);
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(model.only().header(name), Vec::<&str>::new(), "{name}");
    }
}

#[tokio::test]
async fn a_head_of_too_many_bytes_is_a_431() {
    let (model, sidecar) = pair(counting).await;
    let long = format!("x-long: {}", "x".repeat(70_000));
    let Some(seen) = curl(&["--header", &long, &sidecar.url("/")]).await else { return };
    assert_eq!(seen.statuses(), ["431"], "{seen:?}");
    // HTTP/2 counts 32 bytes more for each field, which its clients do not: so they send this.
    let many = NamedTempFile::new().unwrap();
    std::fs::write(many.path(), (0..2_000).map(|number| format!("x-{number}: y\n")).collect::<String>()).unwrap();
    let many = format!("@{}", many.path().display());
    let Some(seen) = curl(&["--http2-prior-knowledge", "--header", &many, &sidecar.url("/")]).await else { return };
    assert_eq!(seen.statuses(), ["431"], "{seen:?}");
    assert!(model.taken().is_empty());
}

#[tokio::test]
async fn a_head_of_too_many_fields_is_a_431() {
    let (model, sidecar) = pair(counting).await;
    let fields: Vec<String> = (0..120).map(|number| format!("x-{number}: x")).collect();
    let url = sidecar.url("/");
    let arguments: Vec<&str> = fields.iter().flat_map(|field| ["--header", field]).chain([url.as_str()]).collect();
    let Some(seen) = curl(&arguments).await else { return };
    assert_eq!(seen.statuses(), ["431"], "{seen:?}");
    assert!(model.taken().is_empty());
}

#[tokio::test]
async fn a_request_line_that_is_too_long_is_a_414() {
    let (model, sidecar) = pair(counting).await;
    let Some(seen) = curl(&[&sidecar.url(&format!("/{}", "x".repeat(40_000)))]).await else { return };
    assert_eq!(seen.statuses(), ["414"], "{seen:?}");
    assert!(model.taken().is_empty());
}

#[tokio::test]
async fn a_tunnel_is_refused() {
    let (model, sidecar) = pair(counting).await;
    let proxy = sidecar.url("");
    let Some(seen) = curl(&["--noproxy", "", "--proxy", &proxy, "--proxytunnel", "http://elsewhere.example/"]).await
    else {
        return;
    };
    // "Recv failure" or "CONNECT tunnel failed", as curl's version has it.
    assert_eq!((seen.code, seen.statuses()), (56, vec!["400"]), "{seen:?}");
    assert!(model.taken().is_empty());
}

#[tokio::test]
async fn a_request_as_to_a_forward_proxy_goes_to_the_model_under_the_name_in_its_url() {
    let (model, sidecar) = pair(counting).await;
    let proxy = sidecar.url("");
    let arguments = ["--noproxy", "", "--proxy", &proxy, "--header", "host: liar.example", "http://named.example/a?b"];
    let Some(seen) = curl(&arguments).await else { return };
    content(&seen);
    let taken = model.only();
    assert_eq!((taken.path(), taken.header("host")), ("/a?b", vec!["named.example"]));
}

#[tokio::test]
async fn what_belongs_to_one_connection_ends_there() {
    fn hopping(_: &Taken) -> Vec<u8> {
        b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-inner\r\nkeep-alive: timeout=5\r\nx-inner: 1\r\n\
          proxy-authenticate: Basic\r\nupgrade: h2c\r\nx-outer: 2\r\ncontent-length: 0\r\n\r\n"
            .to_vec()
    }
    let (model, sidecar) = pair(hopping).await;
    let fields = [
        ("connection", "keep-alive, x-named"),
        ("connection", "x-other"),
        ("x-named", "1"),
        ("x-other", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("te", "gzip"),
        ("upgrade", "websocket"),
        ("x-kept", "3"),
    ];
    let written = fields.map(|(name, value)| format!("{name}: {value}"));
    let url = sidecar.url("/");
    let arguments: Vec<&str> = written.iter().flat_map(|field| ["--header", field]).chain([url.as_str()]).collect();
    let Some(seen) = curl(&arguments).await else { return };
    content(&seen);
    let taken = model.only();
    for (name, _) in fields.iter().filter(|(name, _)| *name != "x-kept") {
        assert_eq!(taken.header(name), Vec::<&str>::new(), "{name} of the request");
    }
    for name in ["connection", "keep-alive", "x-inner", "proxy-authenticate", "upgrade"] {
        assert_eq!(seen.header(name), Vec::<&str>::new(), "{name} of the answer");
    }
    assert_eq!((taken.header("x-kept"), seen.header("x-outer")), (vec!["3"], vec!["2"]));
}

#[tokio::test]
async fn a_model_hears_who_asked_and_by_which_name() {
    let (model, sidecar) = pair(counting).await;
    let url = sidecar.url("/");
    let Some(_) = curl(&["--header", "host: models.example", "--header", "user-agent:", &url]).await else { return };
    let through = ["--header", "x-forwarded-for: 203.0.113.7, 10.0.0.1", "--header", "x-forwarded-proto: https"];
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let traced = format!("traceparent: {trace}");
    let asked = ["--header", "x-request-id: seven", "--header", &traced, &url];
    let Some(seen) = curl(&[&through[..], &asked].concat()).await else { return };
    content(&seen);
    let [alone, through] = &model.taken()[..] else { panic!("{:?}", model.taken()) };
    let chain = ["x-forwarded-for", "x-forwarded-proto", "forwarded", "host"];
    assert_eq!(chain.map(|name| alone.header(name).join("+")), ["127.0.0.1", "http", "", "models.example"]);
    let host = sidecar.direct().to_string();
    assert_eq!(
        chain.map(|name| through.header(name).join("+")),
        ["203.0.113.7, 10.0.0.1, 127.0.0.1", "https", "for=203.0.113.7;proto=https, for=10.0.0.1", &host]
    );
    assert_eq!((alone.header("x-request-id").len(), through.header("x-request-id")), (1, vec!["seven"]));
    assert_eq!((alone.header("user-agent"), through.header("traceparent")), (vec![], vec![trace]));
}

#[tokio::test]
async fn what_steers_from_inside_comes_from_no_client_and_no_model() {
    fn steering(_: &Taken) -> Vec<u8> {
        b"HTTP/1.1 200 OK\r\nrouse-reason: queue-full\r\nrouse-revision: other\r\nx-own: 2\r\n\
          content-length: 0\r\n\r\n"
            .to_vec()
    }
    let (model, sidecar) = pair(steering).await;
    let fields = ["rouse-shadow: true", "rouse-not-started: 1", "k-proxy-request: activator", "k-network-probe: queue"];
    let url = sidecar.url("/");
    let arguments: Vec<&str> = fields.iter().flat_map(|field| ["--header", field]).chain([url.as_str()]).collect();
    let Some(seen) = curl(&arguments).await else { return };
    content(&seen);
    let steers = |head: &str| head.to_lowercase().contains("\nrouse-") || head.to_lowercase().contains("\nk-");
    assert!(!steers(&model.only().head), "{:?}", model.only());
    assert!(!steers(&seen.out) && seen.header("x-own") == ["2"], "{seen:?}");
}

#[tokio::test]
async fn two_lengths_at_once_are_refused_or_framed_anew_and_nothing_follows_them() {
    let (model, sidecar) = pair(counting).await;
    let (one, two) = (sidecar.url("/1"), sidecar.url("/2"));
    let both = ["--header", "transfer-encoding: chunked", "--header", "content-length: 3", "--data", "0123456789"];
    let report = ["--write-out", "\nconnects: %{num_connects}\n", &one, &two];
    let Some(seen) = curl(&[&both[..], &report].concat()).await else { return };
    for taken in model.taken() {
        assert_eq!((taken.header("content-length"), taken.header("transfer-encoding")), (vec![], vec!["chunked"]));
        assert_eq!(taken.body, b"0123456789");
    }
    // Whoever stood before us may have believed the other length: its next request is not read from this connection.
    assert_eq!(seen.header("connects"), ["1", "1"], "{seen:?}");
}
