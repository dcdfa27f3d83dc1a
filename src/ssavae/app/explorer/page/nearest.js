// Nearest-point search: points sorted into the cells of a grid, once per map.

/** A grid index over points. */
export class Nearest {
  constructor(x, y) {
    this.x = x;
    this.y = y;
    this.side = Math.max(1, Math.min(512, Math.ceil(Math.sqrt(x.length / 2))));
    this.#measure();
    this.#sort();
  }

  #measure() {
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.x.length; i++) {
      x0 = Math.min(x0, this.x[i]);
      x1 = Math.max(x1, this.x[i]);
      y0 = Math.min(y0, this.y[i]);
      y1 = Math.max(y1, this.y[i]);
    }
    this.extent = [x0, x1, y0, y1];
  }

  // counting sort: the points of cell c are order[starts[c]] to order[starts[c + 1] - 1]
  #sort() {
    const n = this.x.length;
    const cells = new Int32Array(n);
    this.starts = new Int32Array(this.side * this.side + 1);
    for (let i = 0; i < n; i++) {
      cells[i] = this.#row(this.y[i]) * this.side + this.#column(this.x[i]);
      this.starts[cells[i] + 1]++;
    }
    for (let c = 0; c < this.starts.length - 1; c++) this.starts[c + 1] += this.starts[c];
    const next = this.starts.slice();
    this.order = new Int32Array(n);
    for (let i = 0; i < n; i++) this.order[next[cells[i]]++] = i;
  }

  #cell(value, low, high) {
    const cell = Math.floor(((value - low) / (high - low || 1)) * this.side);
    return Math.max(0, Math.min(this.side - 1, cell));
  }

  #column(x) {
    return this.#cell(x, this.extent[0], this.extent[1]);
  }

  #row(y) {
    return this.#cell(y, this.extent[2], this.extent[3]);
  }

  /** The nearest point with visible[i] = 1 within an ellipse around (x, y), -1 if there is none. */
  find(x, y, radiusX, radiusY, visible) {
    let best = -1;
    let bestDistance = 1;
    for (let row = this.#row(y - radiusY); row <= this.#row(y + radiusY); row++) {
      for (let column = this.#column(x - radiusX); column <= this.#column(x + radiusX); column++) {
        const cell = row * this.side + column;
        for (let k = this.starts[cell]; k < this.starts[cell + 1]; k++) {
          const i = this.order[k];
          const distance = ((this.x[i] - x) / radiusX) ** 2 + ((this.y[i] - y) / radiusY) ** 2;
          if (distance < bestDistance && visible[i]) [best, bestDistance] = [i, distance];
        }
      }
    }
    return best;
  }
}
