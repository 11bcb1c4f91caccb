//! `spec`.

use std::time::Duration;

use super::autoscaling::{autoscaling, fitting_together};
use super::{Merge, Schema};
use crate::endpoint::bounds::LONGEST_MATCH;
use crate::endpoint::{Queue, Timeouts, bounds};
use crate::quantity::{show_duration, show_size};
use crate::read::NameRule;

/// The whole of `spec`.
pub(crate) fn spec() -> Schema {
    let not_served =
        |name: &str| bounds::NOT_SERVED.iter().find(|(field, _)| *field == name).map_or("", |(_, why)| why);
    let host = Schema::name(NameRule::Subdomain, "A host name: lower case, without port and trailing dot.").rule(
        format!("self != '{0}' && !self.endsWith('.{0}')", bounds::CLUSTER_DOMAIN),
        "a name outside the cluster domain; inside it, names are Kubernetes' own",
    );
    let spec = Schema::map("What the endpoint listens to, who serves it, and how far each may grow.")
        .has(
            "hosts",
            Schema::list(
                host,
                bounds::HOSTS,
                "Further host names that it answers to on the port that all endpoints share. Of two endpoints that name one, \
                 the older has it. Its own names (NAME.NAMESPACE, NAME.NAMESPACE.svc) need not be given.",
            )
            .merged(Merge::Set)
            .or("none"),
        )
        .has("ports", ports())
        .needs("traffic", traffic())
        .has("match", matches())
        .has("sticky", sticky())
        .has(
            "onUnavailable",
            Schema::word(
                &["fail", "fallback"],
                "What happens to a request whose revision cannot be woken, because its start failed or there is nothing to \
                 start: it is refused, or of the others with a percent the one with the most gets it. One that asked for its \
                 revision by tag is refused.",
            )
            .or("fail"),
        )
        .has("shadow", shadow())
        .has("rollout", rollout().not_served(not_served("rollout")))
        .has(
            "path",
            Schema::word(
                &["auto", "proxied"],
                "Whether requests may go past the activators, straight to the replicas: when there is room enough for a burst \
                 and nothing forbids it, or never.",
            )
            .or("auto"),
        )
        .has(
            "containerConcurrency",
            Schema::whole(
                &bounds::CONCURRENCY,
                "The most requests that one replica works on at once; what comes beyond waits. 0: no limit.",
            )
            .or("0"),
        )
        .has("timeouts", timeouts())
        .has("queue", queue())
        .has(
            "autoscaling",
            autoscaling(
                "How many replicas there are, for each revision alone. Stronger are traffic[].autoscaling, and annotations of \
                 the Deployment. A change is in force at once.",
            ),
        )
        .has(
            "answerHeaders",
            Schema::flag("Whether answers carry rouse-revision, which says who answered, and server-timing.").or("true"),
        )
        .rule(
            "!has(self.match) || self.match.all(m, self.traffic.exists(t, has(t.revision) && t.revision == m.to \
             || has(t.inferenceService) && t.inferenceService == m.to))",
            "each match[].to is a revision or inferenceService of traffic; one that is to get nothing else has percent 0 there",
        )
        .rule(
            "!has(self.shadow) || !self.shadow.exists(s, self.traffic.exists(t, has(t.revision) && t.revision == s.revision \
             || has(t.inferenceService) && t.inferenceService == s.revision))",
            format!("each shadow[].revision is {}", bounds::SHADOW_IS_NO_TARGET),
        )
        .rule(
            "!has(self.rollout) || self.traffic.exists(t, has(t.revision) && t.revision == self.rollout.candidate \
             || has(t.inferenceService) && t.inferenceService == self.rollout.candidate)",
            "rollout.candidate is a revision or inferenceService of traffic",
        );
    fitting_together().into_iter().fold(spec, |spec, (cel, message)| spec.rule(cel, message))
}

fn ports() -> Schema {
    let port = |doc| Schema::whole(&bounds::PORT, doc);
    let entry = Schema::map("A port of the endpoint's Service, and where it leads.")
        .has("name", Schema::name(NameRule::Label, "Its name in the Service.").or("http"))
        .has("port", port("What clients connect to.").or("80"))
        .has(
            "containerPort",
            port("Where it leads in the container.")
                .or("the container's port named http1, h2c or http, else its first, else 8080"),
        )
        .has(
            "protocol",
            Schema::word(
                &["http1", "h2c"],
                "How replicas are spoken to: HTTP/1.1, or HTTP/2 by prior knowledge, which gRPC needs.",
            )
            .or("h2c if the container's port is named so, else http1"),
        );
    Schema::list(
        entry,
        bounds::PORTS,
        "What the endpoint listens on. More than one is not served yet (NotYetSupported).",
    )
    .or("one, http, 80")
    .rule(once("port", "80"), "each port once")
    .rule(once("name", "'http'"), "each name of a port once")
}

/// Is this field of every entry another, with its default where it is left out?
fn once(field: &str, default: &str) -> String {
    let of = |entry: &str| format!("(has({entry}.{field}) ? {entry}.{field} : {default})");
    format!("self.all(p, self.exists_one(q, {} == {}))", of("q"), of("p"))
}

fn traffic() -> Schema {
    let entry = Schema::map("A revision, and its part of the requests.")
        .has(
            "revision",
            Schema::name(NameRule::Subdomain, "A Deployment of this namespace: one version of the model. Each once."),
        )
        .has(
            "inferenceService",
            Schema::name(
                NameRule::Subdomain,
                "In place of `revision`: a KServe InferenceService of this namespace, in Standard mode and with the annotation \
                 `serving.kserve.io/autoscalerClass: external`. The Deployment of its predictor is found by KServe's labels, and \
                 its minReplicas, maxReplicas, scaleTarget, scaleMetric, containerConcurrency and timeout hold where this \
                 endpoint says nothing.",
            ),
        )
        .has(
            "percent",
            Schema::whole(
                &bounds::PERCENT,
                "Its exact share of the requests that no tag, match or stickiness decides, in percent. All together add up to 100.",
            )
            .or("100 for an entry that is alone, else 0"),
        )
        .has(
            "tag",
            Schema::name(
                NameRule::Service,
                "Reaches this revision whatever its share: with the header rouse-tag, or through the Service TAG-ENDPOINT. \
                 Together with the endpoint's name at most 62 characters. Each once.",
            )
            .or("none"),
        )
        .has(
            "autoscaling",
            autoscaling("What spec.autoscaling says, said otherwise for this revision, field by field."),
        )
        .rule(
            "has(self.revision) != has(self.inferenceService)",
            "exactly one of revision (a Deployment) and inferenceService",
        );
    let name =
        |t: &str| format!("(has({t}.revision) ? {t}.revision : has({t}.inferenceService) ? {t}.inferenceService : '')");
    let sum = "self.map(t, has(t.percent) ? t.percent : 0).sum()";
    Schema::list(
        entry,
        bounds::TRAFFIC,
        "Who serves, and how much of the requests each. It is one decision: server-side apply replaces the whole list.",
    )
    .rule(format!("size(self) == 1 && !has(self[0].percent) || {sum} == 100"), "percents add up to 100")
    .spoken(format!("'percents add up to 100, these add up to ' + ({sum} < 100 ? 'less' : 'more')"))
    .rule(
        format!("self.all(t, {0} == '' || self.exists_one(o, {1} == {0}))", name("t"), name("o")),
        "each revision or inferenceService once",
    )
    .rule("self.all(t, !has(t.tag) || self.exists_one(o, has(o.tag) && o.tag == t.tag))", "each tag once")
}

/// A text to be compared with: exactly one way of comparing.
fn comparison(doc: &str) -> Schema {
    let text = |doc| Schema::text(LONGEST_MATCH, doc);
    Schema::map(doc)
        .has("exact", text("The whole text, letter for letter."))
        .has("prefix", text("What it begins with."))
        .has(
            "regex",
            text("A regular expression that the whole text has to fit. Without look-around and back-references, so that it takes linear time, and not so large that it takes more than 16 KiB. `\\d`, `\\s` and `\\w` mean ASCII."),
        )
        .rule(
            "[has(self.exact), has(self.prefix), has(self.regex)].filter(given, given).size() == 1",
            bounds::ONE_COMPARISON,
        )
}

/// The name of a header or a cookie.
fn token(doc: &str) -> Schema {
    Schema::text(LONGEST_MATCH, doc).rule(format!("self.matches('{}')", bounds::TOKEN), bounds::TOKEN_WORDS)
}

fn matches() -> Schema {
    let named = |doc: &str, what: &str| comparison(doc).needs("name", token(what));
    let is_path =
        |field: &str| format!("(!has(self.{field}) || self.{field}.startsWith('/') && !self.{field}.contains('?'))");
    let path = comparison("The path without the query, as it is sent: nothing is decoded.")
        .rule(format!("{} && {}", is_path("exact"), is_path("prefix")), bounds::PATH_WORDS);
    let method = Schema::text(bounds::LONGEST_METHOD, "The method, such as GET or POST, in capitals.")
        .rule("self.matches('^[A-Z]+$')", bounds::METHOD_WORDS);
    let entry = Schema::map("What a request has to look like, all of it, and who gets it then.")
        .has(
            "header",
            named("A header; of several of one name, one has to fit.", "Its name; capitals make no difference."),
        )
        .has("cookie", named("A cookie; of several of one name, one has to fit.", "Its name."))
        .has("path", path)
        .has("method", method)
        .needs("to", Schema::name(NameRule::Subdomain, "Who gets it: a revision or inferenceService of `traffic`."))
        .rule("has(self.header) || has(self.cookie) || has(self.path) || has(self.method)", bounds::ANY_CONDITION);
    Schema::list(
        entry,
        bounds::MATCHES,
        "Requests that go to a certain revision. The first that fits decides; what fits none goes by stickiness and percents.",
    )
    .or("none")
}

fn sticky() -> Schema {
    Schema::map(
        "What of a request decides its revision, so that a client stays with one while the percents stay. When they change, \
         only as many clients move as must.",
    )
        .has("header", token("The value of this header. Without it percents decide."))
        .has("cookie", token("The value of this cookie. Without it percents decide."))
        .has(
            "setCookie",
            Schema::flag(
                "Whether a client without that cookie is given one, with which it stays at the revision that percents chose.",
            )
            .or("false"),
        )
        .has(
            "clientAddress",
            Schema::flag("The address that the request comes from, as the activator sees it. Only true can be said.")
                .rule("self", bounds::ONLY_TRUE),
        )
        .rule("!has(self.setCookie) || has(self.cookie)", bounds::SET_COOKIE)
        .rule(
            "[has(self.header), has(self.cookie), has(self.clientAddress)].filter(given, given).size() == 1",
            bounds::ONE_KEY,
        )
        .or("none")
}

fn shadow() -> Schema {
    let pointer = Schema::text(LONGEST_MATCH, "A JSON pointer, such as /outputs/0/id.")
        .rule("self.startsWith('/')", bounds::POINTER);
    let compare = Schema::map("Whether both answers are alike; {} for the defaults.")
        .has(
            "tolerance",
            Schema::number(
                *bounds::TOLERANCE.start(),
                Some(*bounds::TOLERANCE.end()),
                "How far two numbers with a fraction may differ and count as alike, as a part of the larger.",
            )
            .or("0.00001"),
        )
        .has(
            "ignore",
            Schema::list(pointer, bounds::IGNORED, "What is not compared, in answers that are JSON.")
                .merged(Merge::Set)
                .or("none"),
        );
    let entry = Schema::map("A revision that gets copies of requests; its answers are thrown away.")
        .needs("revision", Schema::name(NameRule::Subdomain, "A Deployment of this namespace."))
        .has("percent", Schema::whole(&bounds::PERCENT, "Of how many requests it gets a copy, in percent.").or("100"))
        .has("wake", Schema::flag("Whether a copy may wake it from zero.").or("false"))
        .has("compare", compare.or("answers are not compared"));
    Schema::list(
        entry,
        bounds::SHADOWS,
        "Who gets copies of requests. That never delays or changes an answer, and never counts into the demand of a revision \
         of `traffic`, so none of them may be in `traffic` too.",
    )
    .merged(Merge::By("revision"))
    .or("none")
}

fn rollout() -> Schema {
    let pause = Duration::ZERO..=Duration::from_secs(30 * 24 * 3600);
    let step = Schema::map("A share, and how long it holds.")
        .needs("percent", Schema::whole(&(1..=100), "What the candidate gets, in percent."))
        .has("pause", Schema::duration(&pause, "How long it holds before the next step.").or("0s"));
    let steps = Schema::list(step, 1..=20, "The shares that the candidate goes through; after the last it has all.")
        .rule("self.map(s, s.percent).isSorted()", "percents grow from step to step");
    let gate =
        Schema::map("What the candidate has to keep to; if it does not it goes back to nothing. {} for the defaults.")
            .has(
                "minRequests",
                Schema::whole(&(1..=1_000_000), "So many requests of a step are looked at before it is judged.")
                    .or("100"),
            )
            .has(
                "maxErrorPercent",
                Schema::number(
                    0.0,
                    Some(100.0),
                    "How many answers more than the others' may be errors (5xx), in percent of all.",
                )
                .or("1"),
            )
            .has(
                "maxLatencyRatio",
                Schema::number(
                    1.0,
                    Some(100.0),
                    "How many times the others' 99th percentile of latency its own may be.",
                )
                .or("1.5"),
            );
    Schema::map("Moves requests to one revision of `traffic` step by step. The split in force is in status.traffic.")
        .needs(
            "candidate",
            Schema::name(NameRule::Subdomain, "Who is to get all: a revision or inferenceService of `traffic`."),
        )
        .needs("steps", steps)
        .has("gate", gate.or("nothing is looked at"))
        .has(
            "keep",
            Schema::duration(&pause, "How long the others stay ready to take over again once the candidate has all.")
                .or("0s"),
        )
        .or("none: percents of `traffic` count as they are written")
}

fn timeouts() -> Schema {
    let defaults = Timeouts::default();
    let limit = |doc: &str, default: Option<Duration>| {
        Schema::duration(&bounds::TIMEOUT, format!("{doc} 0s: no limit."))
            .or(show_duration(default.unwrap_or_default()))
    };
    Schema::map("Limits that begin when a replica has the request. What waits for one is bounded by queue.maxWait.")
        .has("request", limit("To the last byte of the answer.", defaults.request))
        .has("responseStart", limit("To the head of the answer.", defaults.response_start))
        .has("idle", limit("Without a byte in either direction.", defaults.idle))
}

fn queue() -> Schema {
    let defaults = Queue::default();
    Schema::map("How much may wait for a replica, for each revision at each activator.")
        .has(
            "maxRequests",
            Schema::whole(
                &bounds::MAX_REQUESTS,
                "Requests that wait at once; more are refused with 503 and retry-after.",
            )
            .or(defaults.max_requests.to_string()),
        )
        .has(
            "maxBytes",
            Schema::size(&bounds::MAX_BYTES, "Memory for their bodies, in bytes.").or(show_size(defaults.max_bytes)),
        )
        .has(
            "maxWait",
            Schema::duration(&bounds::MAX_WAIT, "The longest that a request waits.")
                .or(show_duration(defaults.max_wait)),
        )
}
