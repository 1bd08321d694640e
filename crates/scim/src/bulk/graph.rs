//! Which operations stand in a circle.

/// The number of the strongly connected component of each node: two nodes have the same one when each can
/// be reached from the other. `edges[a]` holds the nodes that `a` points at.
///
/// Kosaraju's two walks, with a stack of their own.
pub(super) fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut backwards = vec![Vec::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        for &to in targets {
            if let Some(sources) = backwards.get_mut(to) {
                sources.push(from);
            }
        }
    }
    let mut numbers = vec![None; edges.len()];
    for root in by_time_of_leaving(edges).into_iter().rev() {
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            let Some(number) = numbers.get_mut(node) else { continue };
            if number.is_none() {
                *number = Some(root);
                open.extend(backwards.get(node).into_iter().flatten());
            }
        }
    }
    numbers.into_iter().enumerate().map(|(node, number)| number.unwrap_or(node)).collect()
}

/// The nodes in the order in which a walk into the depth is done with them.
fn by_time_of_leaving(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut is_seen = vec![false; edges.len()];
    let mut left = Vec::with_capacity(edges.len());
    for root in 0..edges.len() {
        // A node, and how many of its targets were looked at.
        let mut open = vec![(root, 0)];
        if is_seen.get_mut(root).is_none_or(|seen| std::mem::replace(seen, true)) {
            continue;
        }
        while let Some((node, looked_at)) = open.last_mut() {
            let target = edges.get(*node).and_then(|targets| targets.get(*looked_at)).copied();
            *looked_at += 1;
            let Some(target) = target else {
                left.push(*node);
                open.pop();
                continue;
            };
            if is_seen.get_mut(target).is_some_and(|seen| !std::mem::replace(seen, true)) {
                open.push((target, 0));
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[&[usize]], expect: &[&[usize]]) {
        let edges: Vec<Vec<usize>> = edges.iter().map(|targets| targets.to_vec()).collect();
        let numbers = components(&edges);
        let mut groups = std::collections::BTreeMap::<usize, Vec<usize>>::new();
        for (node, number) in numbers.into_iter().enumerate() {
            groups.entry(number).or_default().push(node);
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort();
        assert_eq!(groups, expect);
    }

    #[test]
    fn circles_are_found() {
        check(&[], &[]);
        check(&[&[], &[0], &[1]], &[&[0], &[1], &[2]]);
        check(&[&[1], &[2], &[0], &[0]], &[&[0, 1, 2], &[3]]);
        check(&[&[0], &[2, 3], &[1], &[]], &[&[0], &[1, 2], &[3]]);
        check(&[&[1], &[0], &[3], &[2], &[0, 2]], &[&[0, 1], &[2, 3], &[4]]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let length = 100_000;
        let edges: Vec<Vec<usize>> = (0..length).map(|node| vec![(node + 1) % length]).collect();
        assert!(components(&edges).windows(2).all(|pair| pair.first() == pair.last()));
    }
}
