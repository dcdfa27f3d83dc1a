// Points as WebGL draws them: positions and colours lie on the graphics card, a frame costs two uniforms.

const VERTEX = `#version 300 es
in vec2 position;
in vec4 color;
uniform vec2 scale, offset;
uniform float size;
out vec4 tint;
void main() {
  tint = color;
  // a hidden point is moved out of the picture, a faint one behind the others
  gl_Position = color.a == 0.0 ? vec4(2.0, 2.0, 0.0, 1.0) : vec4(position * scale + offset, 0.5 - 0.5 * color.a, 1.0);
  gl_PointSize = size + 1.0; // with room for a smooth edge
}`;
const FRAGMENT = `#version 300 es
precision highp float;
in vec4 tint;
uniform float size;
out vec4 pixel;
void main() {
  float inside = size * 0.5 + 0.5 - length(gl_PointCoord - 0.5) * (size + 1.0);
  float alpha = tint.a * clamp(inside, 0.0, 1.0);
  if (alpha < 0.01) discard;
  pixel = vec4(tint.rgb * alpha, alpha);
}`;

const IN_MOTION = 100_000; // points that even a slow machine draws in each frame

/** Discs on a transparent canvas. */
export class PointCloud {
  #n = 0;

  constructor(canvas) {
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("This browser shows no WebGL 2: update it, or switch hardware acceleration on");
    this.gl = gl;
    this.#build();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.#build();
      if (this.xy) this.setPositions(this.xy);
      if (this.rgba) this.setColors(this.rgba);
      this.restored?.();
    });
  }

  #build() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(`WebGL: ${gl.getProgramInfoLog(program)}`);
    gl.useProgram(program);
    this.uniforms = Object.fromEntries(["scale", "offset", "size"].map((name) => [name, gl.getUniformLocation(program, name)]));
    const attribute = (name, length, type, normalized, bytes) => {
      const buffer = gl.createBuffer();
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place);
      const read = (step) => {
        gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
        gl.vertexAttribPointer(place, length, type, normalized, bytes * step, 0);
      };
      return { buffer, read };
    };
    this.positions = attribute("position", 2, gl.FLOAT, false, 8);
    this.colors = attribute("color", 4, gl.UNSIGNED_BYTE, true, 4);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** Of how many points one is drawn in motion: 1 where all are. */
  get thinning() {
    return Math.ceil(this.#n / IN_MOTION);
  }

  /** Set the positions, (2 n) numbers in turn. */
  setPositions(xy) {
    this.xy = xy;
    this.#n = xy.length / 2;
    this.#fill(this.positions, xy);
  }

  /** Set the colours, (4 n) bytes; a point with alpha 0 is hidden. */
  setColors(rgba) {
    this.rgba = rgba;
    this.#fill(this.colors, rgba);
  }

  #fill({ buffer }, values) {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, values, this.gl.STATIC_DRAW);
  }

  /** Draw the points of a view [x0, x1, y0, y1], as discs of so many pixels; in motion every so many-th of very many. */
  draw([x0, x1, y0, y1], size, isMoving = false) {
    const { gl, canvas, uniforms } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.max(1, Math.round(length * ratio)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!this.rgba || this.rgba.length !== 4 * this.#n) return;
    gl.uniform2f(uniforms.scale, 2 / (x1 - x0), 2 / (y1 - y0));
    gl.uniform2f(uniforms.offset, -(x1 + x0) / (x1 - x0), -(y1 + y0) / (y1 - y0));
    gl.uniform1f(uniforms.size, size * ratio);
    const step = isMoving ? this.thinning : 1;
    for (const each of [this.positions, this.colors]) each.read(step);
    gl.drawArrays(gl.POINTS, 0, Math.ceil(this.#n / step));
  }
}
