//! Copies by hand, of terms in words of the same size: what is left of a deep copy when it knows what it copies, loses the
//! sharing, asks neither for literals nor for a limit, and has the memory already. No copy of a term of any shape can cost
//! less.

/// A full tree `{Left, Depth, Right}`: four words a node, of which the children are numbers of nodes, from one on.
pub(crate) struct Tree {
    nodes: Vec<[u64; 4]>,
    copy: Vec<[u64; 4]>,
    waiting: Vec<usize>,
}

impl Tree {
    pub(crate) fn new(depth: u64) -> Self {
        fn node(nodes: &mut Vec<[u64; 4]>, depth: u64) -> u64 {
            if depth == 0 {
                return 0;
            }
            let (left, right) = (node(nodes, depth - 1), node(nodes, depth - 1));
            nodes.push([3, left, depth, right]);
            nodes.len() as u64
        }
        let mut nodes = Vec::new();
        node(&mut nodes, depth);
        Self { nodes, copy: Vec::new(), waiting: Vec::new() }
    }

    /// Depth first, from a stack, as nothing may recurse on a term's depth.
    pub(crate) fn copy(&mut self) -> &[[u64; 4]] {
        let Self { nodes, copy, waiting } = self;
        copy.clear();
        let mut from = nodes.len() as u64;
        loop {
            let node = nodes[from as usize - 1];
            let at = copy.len();
            copy.push(node);
            if node[1] != 0 {
                waiting.push(at);
            }
            if node[3] != 0 {
                copy[at][3] = at as u64 + 2;
                from = node[3];
                continue;
            }
            let Some(parent) = waiting.pop() else { return copy };
            from = copy[parent][1];
            copy[parent][1] = copy.len() as u64 + 1;
        }
    }
}

/// A list of integers: two words a cell.
pub(crate) struct List {
    cells: Vec<[u64; 2]>,
    copy: Vec<[u64; 2]>,
}

impl List {
    pub(crate) fn new(n: u64) -> Self {
        Self { cells: (1..=n).map(|i| [i, i + 1]).collect(), copy: Vec::new() }
    }

    pub(crate) fn copy(&mut self) -> &[[u64; 2]] {
        self.copy.clear();
        let mut at = 1;
        while let Some(&[head, tail]) = self.cells.get(at as usize - 1) {
            self.copy.push([head, self.copy.len() as u64 + 2]);
            at = tail;
        }
        &self.copy
    }
}
