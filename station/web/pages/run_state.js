// A run as a page holds it: changes may come twice and in any portions, and lead to the same.
// @ts-check

/** Lists of changes, and what tells their items apart; as `station/web/live/run_changes.py` says. */
const MERGED_BY = { fields: "index", finds: "key", candidates: "uid", captures: "uid", failed_captures: "candidate", karyotypes: "capture" };

export class RunState {
  /** @param {any} snapshot of GET /api/runs/NAME */
  constructor(snapshot) {
    this.name = snapshot.name;
    this.accession = snapshot.accession;
    this.position = snapshot.position;
    this.plan = snapshot.plan;
    this.overview = snapshot.overview;
    this.status = snapshot.status;
    /** @type {Record<string, any>} */
    this.plain = {};
    /** @type {Record<string, Map<any, any>>} */
    this.lists = Object.fromEntries(Object.keys(MERGED_BY).map((name) => [name, new Map()]));
    this.merge(snapshot.changes);
  }

  get fields() { return this.lists.fields; }

  get surface() { return this.plain.surface; }

  /** @param {any} changes */
  merge(changes) {
    for (const [name, value] of Object.entries(changes)) {
      const key = MERGED_BY[/** @type {keyof typeof MERGED_BY} */ (name)];
      if (!key) { this.plain[name] = value; continue; }
      for (const item of value) this.lists[name].set(item[key], { ...this.lists[name].get(item[key]), ...item });
    }
  }

  /** Candidates by rank with their picture and karyotype; before they are ranked, the finds of the fields. */
  cells() {
    const { finds, candidates, captures, failed_captures: failed, karyotypes } = this.lists;
    if (!this.plain.ranked) return [...finds.values()];
    const byCandidate = new Map([...captures.values()].map((capture) => [capture.candidate, capture]));
    const all = [...finds.values()];
    return [...candidates.values()].sort((a, b) => a.rank - b.rank).map((candidate) => {
      const capture = byCandidate.get(candidate.uid);
      const find = all.find((each) => each.field === candidate.field && Math.hypot(each.x_um - candidate.x_um, each.y_um - candidate.y_um) < candidate.radius_um);
      return { ...candidate, thumbnail: find?.thumbnail, capture, failed: failed.get(candidate.uid)?.reason, karyotype: capture && karyotypes.get(capture.uid) };
    });
  }

  /** What was photographed last: a 63x picture, or the last field. */
  last() {
    const captures = [...this.lists.captures.values()];
    if (captures.length) return { capture: captures.reduce((a, b) => (a.taken_at > b.taken_at ? a : b)) };
    const fields = [...this.fields.values()];
    return fields.length ? { field: fields[fields.length - 1] } : {};
  }
}
