//! Who holds a token: asked of the API server, which made it.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Api;
use kube::api::PostParams;
use platform::{Holder, Unproven};
use tokio::time::timeout;

use crate::cluster::{Cluster, PROMPT};
use crate::fault::Fault;
use crate::site::AUDIENCE;

/// What the API server calls the pod that a token was made for, beside its user.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

impl Cluster {
    /// Asks the API server who holds a token for the audience [`AUDIENCE`], of a pod that is there.
    ///
    /// # Errors
    /// With why that is not known.
    pub async fn who_holds(&self, token: &str) -> Result<Holder, Unproven> {
        let spec = TokenReviewSpec { audiences: Some(vec![AUDIENCE.to_owned()]), token: Some(token.to_owned()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.prompt.clone());
        let asked = timeout(PROMPT, reviews.create(&PostParams::default(), &review)).await;
        let asked = asked.map_err(|_| Unproven::Unknown(format!("no answer within {PROMPT:?}")))?;
        let answer = asked.map_err(|error| Unproven::Unknown(Fault::of(&error).to_string()))?;
        holder(answer.status.unwrap_or_default()).map_err(Unproven::Refused)
    }
}

fn holder(status: TokenReviewStatus) -> Result<Holder, String> {
    if status.authenticated != Some(true) {
        let why = status.error.filter(|why| !why.is_empty());
        return Err(why.unwrap_or_else(|| "the API server does not know the token".to_owned()));
    }
    // An API server that knows nothing of audiences says nothing of them, and takes tokens that are for itself.
    if !status.audiences.iter().flatten().any(|audience| audience == AUDIENCE) {
        return Err(format!("the token is not for the audience {AUDIENCE}"));
    }
    let user = status.user.unwrap_or_default();
    let name = user.username.unwrap_or_default();
    let account = name.strip_prefix("system:serviceaccount:").and_then(|name| name.split_once(':'));
    let (namespace, account) = account.ok_or_else(|| format!("the token is {name}'s, which is no ServiceAccount"))?;
    let extra = user.extra.unwrap_or_default();
    let of_pod =
        |key: &str| extra.get(key).and_then(|values| values.first()).filter(|value| !value.is_empty()).cloned();
    let (Some(pod_name), Some(pod_uid)) = (of_pod(POD_NAME), of_pod(POD_UID)) else {
        return Err("the token was made for no pod: use a projected one".to_owned());
    };
    Ok(Holder { namespace: namespace.to_owned(), account: account.to_owned(), pod_name, pod_uid })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::{self, Next};

    fn status() -> Value {
        json!({
            "authenticated": true,
            "audiences": ["rouse"],
            "user": {
                "username": "system:serviceaccount:shop:default",
                "extra": {
                    "authentication.kubernetes.io/pod-name": ["v1-a"],
                    "authentication.kubernetes.io/pod-uid": ["uid-a"],
                },
            },
        })
    }

    fn said_of(change: impl FnOnce(&mut Value)) -> Result<Holder, String> {
        let mut status = status();
        change(&mut status);
        holder(serde_json::from_value(status).unwrap())
    }

    #[test]
    fn the_holder_of_a_token_is_a_pod_with_its_account() {
        let (namespace, account) = ("shop".to_owned(), "default".to_owned());
        let (pod_name, pod_uid) = ("v1-a".to_owned(), "uid-a".to_owned());
        assert_eq!(said_of(|_| {}), Ok(Holder { namespace, account, pod_name, pod_uid }));
    }

    #[test]
    fn whatever_proves_less_proves_nothing() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 6] = [
            (|status| status["authenticated"] = false.into(), "does not know the token"),
            (|status| status["authenticated"] = Value::Null, "does not know the token"),
            (|status| status["audiences"] = json!(["https://kubernetes.default.svc"]), "not for the audience rouse"),
            (|status| status["audiences"] = Value::Null, "not for the audience rouse"),
            (|status| status["user"]["username"] = "admin".into(), "no ServiceAccount"),
            (|status| status["user"]["extra"] = json!({}), "made for no pod"),
        ];
        for (change, says) in cases {
            let why = said_of(change).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_refused_only_by_an_api_server_that_answers() {
        let script =
            [Next::Says(201, json!({ "spec": {}, "status": status() })), Next::Says(500, json!({})), Next::IsSilent];
        let (cluster, asked) = fake::scripted(script);
        assert_eq!(cluster.who_holds("token-a").await.unwrap().pod_name, "v1-a");
        let sent = asked.lock()[0].body["spec"].clone();
        assert_eq!(sent, json!({ "audiences": ["rouse"], "token": "token-a" }));
        for _ in 0..2 {
            assert!(matches!(cluster.who_holds("token-a").await, Err(Unproven::Unknown(_))));
        }
    }
}
