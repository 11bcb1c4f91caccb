//! The election, over a real Lease.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use cluster::ground::Ground;
use cluster::suite::{Stage, Test};
use daemon::Clock;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kubernetes::{Cluster, Site};
use platform::Leadership;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) const TESTS: &[Test] = &[
    ("of_several_that_take_part_one_leads_and_who_leaves_hands_over_within_a_second", hand_over),
    ("a_leader_leads_anew_above_an_epoch_that_an_activator_has_seen", anew),
];

/// One that takes part.
struct Member {
    leadership: watch::Receiver<Leadership>,
    highest: watch::Sender<u64>,
    leave: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
}

impl Member {
    async fn of(ground: &Ground, namespace: &str, name: &str) -> anyhow::Result<Self> {
        let cluster = seen_by(ground, namespace, name).await?;
        let (sender, leadership) = watch::channel(Leadership::Following);
        let (highest, heard) = watch::channel(0);
        let leave = CancellationToken::new();
        let mut task = JoinSet::new();
        let left = leave.clone();
        task.spawn(async move { cluster.elect(sender, heard, left).await });
        Ok(Self { leadership, highest, leave, task })
    }

    fn epoch(&self) -> Option<u64> {
        match *self.leadership.borrow() {
            Leadership::Leading { epoch, .. } => Some(epoch),
            Leadership::Following => None,
        }
    }

    async fn until(&mut self, is: impl Fn(Leadership) -> bool) -> anyhow::Result<()> {
        let seen = self.leadership.wait_for(|leadership| is(*leadership));
        timeout(Duration::from_secs(60), seen).await.context("a minute passed")??;
        Ok(())
    }
}

/// The cluster as a program of ours sees it.
pub(crate) async fn seen_by(ground: &Ground, namespace: &str, pod: &str) -> anyhow::Result<Cluster> {
    let site = Site {
        namespace: Arc::from(namespace),
        pod_name: Arc::from(pod),
        pod_uid: Arc::from(pod),
        cluster_domain: Arc::from("cluster.local"),
        own_ports: Site::OWN_PORTS,
        shared_port: 8080,
        streams_port: 8081,
        plaintext: true,
    };
    Cluster::with(ground.identities.config("admin").await?, site, Clock::start())
}

fn leads(leadership: Leadership) -> bool {
    leadership != Leadership::Following
}

async fn first_to_lead(members: &mut [Member]) -> anyhow::Result<usize> {
    let all = members.iter_mut().map(|member| Box::pin(member.until(leads)));
    let (led, first, _) = futures_util::future::select_all(all).await;
    led.map(|()| first)
}

fn hand_over(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.namespace("hand-over").await?;
        let mut members = Vec::new();
        for name in ["a", "b", "c"] {
            members.push(Member::of(&ground, "hand-over", name).await?);
        }
        let mut epochs = Vec::new();
        let mut told: Option<Instant> = None;
        while !members.is_empty() {
            let leader = first_to_lead(&mut members).await?;
            if let Some(took) = told.map(|told| told.elapsed()) {
                eprintln!("from told to leave to the next leader: {:.0} ms", took.as_secs_f64() * 1e3);
                anyhow::ensure!(took <= Duration::from_secs(1), "handing over took {took:?}");
            }
            let mut leader = members.remove(leader);
            epochs.extend(leader.epoch());
            anyhow::ensure!(members.iter().all(|member| member.epoch().is_none()), "two lead");
            told = Some(Instant::now());
            leader.leave.cancel();
            leader.task.join_next().await.context("it ended")???;
            anyhow::ensure!(leader.epoch().is_none(), "who left still leads");
        }
        anyhow::ensure!(epochs == [1, 2, 3], "{epochs:?}");
        let leases: Api<Lease> = Api::namespaced(ground.client(), "hand-over");
        let spec = leases.get("rouse-autoscaler").await?.spec.context("a spec")?;
        anyhow::ensure!(spec.holder_identity.as_deref() == Some(""), "{spec:?}");
        anyhow::ensure!(spec.lease_transitions == Some(3), "{spec:?}");
        Ok(())
    })
}

fn anew(stage: Stage) -> anyhow::Result<()> {
    stage.play(async {
        let ground = stage.ground.read().await;
        ground.namespace("anew").await?;
        let mut member = Member::of(&ground, "anew", "a").await?;
        member.until(leads).await?;
        member.highest.send_replace(41);
        member.until(|leadership| matches!(leadership, Leadership::Leading { epoch: 42, .. })).await
    })
}
