use super::*;

fn at(millis: u64) -> Moment {
    Moment::from_unix_millis(1_700_000_000_000 + millis)
}

fn replicas(limit: u32, ids: &[u64]) -> Replicas {
    let mut replicas = Replicas::new(ConcurrencyLimit::from_field(limit));
    let ids: Vec<ReplicaId> = ids.iter().copied().map(ReplicaId).collect();
    replicas.offer(&ids);
    replicas
}

#[test]
fn a_replica_that_refused_is_left_alone_for_a_while_that_doubles() {
    let mut replicas = replicas(1, &[1, 2]);
    assert_eq!(replicas.set_aside(ReplicaId(1), at(0)), Some(at(100)));
    assert_eq!(replicas.set_aside(ReplicaId(1), at(50)), Some(at(100)));
    assert_eq!(replicas.capacity(at(50)), Capacity::AtMost(1));
    assert_eq!(replicas.pick(at(50), 0), Ok(ReplicaId(2)));
    assert_eq!(replicas.pick(at(50), 0), Err(NoReplica::SetAside { until: at(100) }));
    assert_eq!(replicas.next_return(at(50)), Some(at(100)));
    assert_eq!(replicas.pick(at(100), 0), Ok(ReplicaId(1)));
    assert_eq!(replicas.pick(at(100), 0), Err(NoReplica::AllFull));
    assert_eq!(replicas.set_aside(ReplicaId(1), at(100)), Some(at(300)));
}
