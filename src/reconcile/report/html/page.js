'use strict';
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const facts = read('facts');

  // Everything that comes from data goes in as text.
  const el = (tag, attributes = {}, ...children) => {
    const node = tag === 'svg' || tag === 'path' ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
    node.append(...children.filter((child) => child !== undefined && child !== null));
    return node;
  };
  const digits = (n) => String(n).replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, '\u202f'));
  const cell = (tag, kind, ...children) => el(tag, { class: kind }, ...children);

  // Characters that nobody sees, or that turn the line around, are named.
  const unseen = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;
  const value = (text, lines) => {
    if (text === null || text === undefined) return cell('span', 'null', 'NULL');
    if (text === '') return cell('span', 'null', '""');
    const node = el('bdi');
    for (const part of text.split(new RegExp(`(${unseen.source})`, 'u'))) {
      if (part.length > 2 || !unseen.test(part)) node.append(part);
      else if (lines && part === '\n') node.append(cell('span', 'mark', '\\n'), '\n');
      else node.append(cell('span', 'mark', part === '\n' ? '\\n' : part === '\t' ? '\\t' : part === '\r' ? '\\r' : `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`));
    }
    return node;
  };

  const heading = (title, id) => el('h2', { id }, title);
  let sections = 0;
  const section = (title, kind, ...children) => {
    const id = `section-${++sections}`;
    return el('section', { 'aria-labelledby': id, class: kind }, heading(title, id), ...children);
  };
  const note = (text) => (text ? cell('p', 'quiet', text) : null);
  const spans = (parts, all) => parts.filter(([n]) => n > 0).map(([n, tone]) => {
    const span = el('span', { class: `${tone} some` });
    span.style.width = `${(100 * n) / all}%`;
    return span;
  });
  const bar = (parts, all, kind = 'bar') => el('div', { class: kind, 'aria-hidden': 'true' }, ...(all > 0 ? spans(parts, all) : []));

  const draw = {
    notice: (s) => section(s.title, 'notice', el('ul', {}, ...s.items.map((item) => el('li', {}, item)))),
    tiles: (s) => {
      const parts = s.tiles.filter((t) => t.tone !== 'plain').map((t) => [t.count, t.tone]);
      const all = parts.reduce((sum, [n]) => sum + n, 0);
      return section(s.title, 'verdicts', note(s.note), all > 0 ? bar(parts, all, 'share') : null,
        el('dl', { class: 'tiles' }, ...s.tiles.map((t) => el('div', { class: `tile ${t.count ? t.tone : 'none'}` },
          el('dt', {}, t.label), el('dd', {}, digits(t.count), t.note ? cell('span', 'note', t.note) : null)))));
    },
    fields: (s) => section(s.title, 'fields', cell('div', 'scroll', el('table', {},
      el('thead', {}, el('tr', {}, ...['Field', 'Rule', 'Result', 'Compared', 'Unequal', 'Equal by rule', 'One is NULL', 'Largest delta', 'Remarks'].map((name, i) =>
        el('th', { scope: 'col', class: i > 2 && i < 8 ? 'number' : undefined }, name)))),
      el('tbody', {}, ...s.fields.map((f) => el('tr', {},
        el('th', { scope: 'row', class: 'mono' }, value(f.name)), el('td', {}, f.rule),
        f.status === 'compared'
          ? el('td', {}, bar([[f.compared - f.unequal - f.equal_by_rule, 'good'], [f.equal_by_rule, 'warn'], [f.unequal, 'bad']], f.compared))
          : el('td', { class: f.status === 'ignored' ? 'quiet' : 'tone warn' }, f.status === 'ignored' ? 'ignored' : 'not compared'),
        cell('td', 'number', digits(f.compared)), cell('td', f.unequal ? 'number tone bad' : 'number', digits(f.unequal)),
        cell('td', 'number', digits(f.equal_by_rule)), cell('td', 'number', digits(f.null_mismatch)),
        cell('td', 'number', f.max_delta ?? ''), cell('td', 'quiet', f.note ?? '')))))),
      el('ul', { class: 'legend' }, cell('li', 'good', 'equal'), cell('li', 'warn', 'equal by the rule'), cell('li', 'bad', 'unequal'))),
    table: (s) => section(s.title, 'table', note(s.note), cell('div', 'scroll', el('table', {},
      el('thead', {}, el('tr', {}, ...s.columns.map((c) => el('th', { scope: 'col', class: c.number ? 'number' : undefined }, c.name)))),
      el('tbody', {}, ...s.rows.map((row) => el('tr', {}, ...row.map((text, i) =>
        (s.columns[i].number ? cell('td', 'number', digits(text ?? '')) : cell('td', s.columns[i].value ? 'value' : 'text', value(text)))))))))),
    bars: (s) => {
      const most = Math.max(...s.bars.map(([, n]) => n));
      return section(s.title, 'bars', note(s.note), cell('div', 'scroll', el('table', {}, el('thead', {}, el('tr', {},
        el('th', { scope: 'col' }, s.label), el('th', { 'aria-hidden': 'true' }), el('th', { scope: 'col', class: 'number' }, 'Records'))),
      el('tbody', {}, ...s.bars.map(([label, n]) => el('tr', {}, el('th', { scope: 'row', class: 'mono' }, value(label)),
        el('td', { 'aria-hidden': 'true' }, bar([[n, 'bad']], most)), cell('td', 'number', digits(n))))))));
    },
    pace: (s) => {
      const points = s.points, last = points[points.length - 1], widest = last[0] || 1;
      const most = Math.max(...points.map(([, n]) => n)) || 1;
      const line = points.map(([at, n], i) => `${i ? 'L' : 'M'}${(1000 * at) / widest} ${100 - (95 * n) / most}`).join('');
      return section(s.title, 'pace', note(s.note), el('figure', {},
        el('svg', { viewBox: '0 0 1000 100', preserveAspectRatio: 'none', role: 'img', 'aria-label': `${s.title}: at most ${digits(most)} records a second` },
          el('path', { class: 'under', d: `${line}L1000 100L${(1000 * points[0][0]) / widest} 100Z` }), el('path', { d: line })),
        el('figcaption', {}, el('span', {}, 'begin'), el('span', {}, `at most ${digits(most)} records a second`), el('span', {}, `${digits(Math.round(widest * 10) / 10)} s`))));
    },
    facts: (s) => section(s.title, 'run', el('dl', { class: 'facts' }, ...s.facts.flatMap(([name, text]) => [el('dt', {}, name), el('dd', {}, value(text, true))]))),
    code: (s) => section(s.title, 'code', note(s.note), el('pre', { tabindex: '0' }, s.text)),
    signatures: (s) => section('Signatures', 'signatures', el('div', { class: 'sign' }, ...s.roles.flatMap((role) => [el('div', {}, `${role}: name`), el('div', {}, 'date, signature')]))),
    records: (s) => recordTable(s, read('records')),
  };

  // The table of records: only the rows in sight are in the page.
  const columns = ['What', 'Entity', 'Key', 'Field', 'Rule', 'Source', 'Target', 'Delta'];
  const widths = ['8rem', '8rem', '', '9rem', '6.5rem', '', '', '7rem'];
  const keyText = (key) => key.map((part) => (part === null ? 'NULL' : part)).join(' · ');
  const asText = (row, i) => (i === 2 ? keyText(row[2]) : row[i]);
  const number = /^-?\d+(\.\d+)?$/;

  // NULL first, then numbers by size where two texts are numbers, then texts.
  const order = (a, b) => {
    if (a === b) return 0;
    if (a === null || b === null) return a === null ? -1 : 1;
    if (number.test(a) && number.test(b) && Number(a) !== Number(b)) return Number(a) - Number(b);
    return a < b ? -1 : 1;
  };

  const recordTable = (s, rows) => {
    const state = { sort: -1, down: false, found: rows, at: -1 };
    const haystacks = new Array(rows.length);
    const haystack = (row, i) => (haystacks[i] ??= row.flat().map((cell) => (cell === null ? 'null' : cell)).join('\n').toLowerCase());
    rows.forEach((row, i) => { row.place = i; });

    const search = el('input', { type: 'search', id: 'search', placeholder: 'key, field or value', autocomplete: 'off', spellcheck: 'false' });
    const select = (column, name) => {
      const words = [...new Set(rows.map((row) => row[column]).filter((word) => word !== null))].sort();
      const node = el('select', {}, el('option', { value: '' }, 'all'), ...words.map((word, i) => el('option', { value: String(i) }, word === '' ? '""' : word)));
      node.wanted = (row) => node.value === '' || row[column] === words[Number(node.value)];
      return words.length > 1 ? { node, label: el('label', {}, name, node) } : null;
    };
    const selects = [select(0, 'What'), select(1, 'Entity'), select(3, 'Field')].filter(Boolean);
    const told = el('output', { 'aria-live': 'polite', for: 'search' });

    const heads = columns.map((name, i) => {
      const button = el('button', { type: 'button' }, name);
      const head = el('th', { scope: 'col', role: 'columnheader' }, button);
      head.style.width = widths[i];
      button.addEventListener('click', () => { state.down = state.sort === i && !state.down; state.sort = i; find(); });
      return head;
    });
    const body = el('tbody', { role: 'rowgroup' });
    const table = el('table', { role: 'grid', 'aria-label': s.title, 'aria-colcount': String(columns.length) },
      el('thead', { role: 'rowgroup' }, el('tr', { role: 'row', 'aria-rowindex': '1' }, ...heads)), body);
    const view = el('div', { class: 'scroll grid screen', tabindex: '0', role: 'group', 'aria-label': `${s.title}, scrollable; arrow keys go from row to row, Enter shows a row whole` }, table);
    const detail = el('div', { class: 'detail screen', 'aria-live': 'polite', hidden: '' });
    const paper = el('div', { class: 'paper' });
    const rowHeight = () => 2 * parseFloat(getComputedStyle(document.documentElement).fontSize);

    const cells = (row) => columns.map((_, i) => {
      const kind = i === 2 ? 'key' : i > 4 ? 'value' : 'text';
      const nothing = row[3] === null && i > 2;
      const content = nothing || (i === 7 && row[7] === null) ? [] : i === 2 ? [value(keyText(row[2]))] : [value(row[i])];
      return el('td', { class: kind, role: 'gridcell', title: i === 2 || i > 4 ? asText(row, i) ?? undefined : undefined }, ...content);
    });
    const space = (rows) => {
      const td = el('td', { colspan: String(columns.length) });
      td.style.height = `${rows * rowHeight()}px`;
      return el('tr', { class: 'space', 'aria-hidden': 'true' }, td);
    };
    let drawn = '';
    const show = (again) => {
      const height = rowHeight(), all = state.found.length;
      const from = Math.max(0, Math.floor(view.scrollTop / height) - 10);
      const to = Math.min(all, from + Math.ceil(view.clientHeight / height) + 20);
      if (!again && drawn === `${from}-${to}`) return;
      drawn = `${from}-${to}`;
      const focused = body.contains(document.activeElement);
      const list = [];
      for (let i = from; i < to; i += 1) {
        const tr = el('tr', { class: 'record', role: 'row', 'aria-rowindex': String(i + 2), tabindex: '-1', 'aria-selected': String(i === state.at) }, ...cells(state.found[i]));
        tr.index = i;
        list.push(tr);
      }
      body.replaceChildren(space(from), ...list, space(all - to));
      if (focused) (list.find((tr) => tr.index === state.at) ?? view).focus({ preventScroll: true });
    };
    const find = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      state.found = rows.filter((row) => selects.every(({ node }) => node.wanted(row)) && words.every((word) => haystack(row, row.place).includes(word)));
      const by = state.sort, sign = state.down ? -1 : 1;
      if (by >= 0) state.found.sort((a, b) => sign * order(asText(a, by), asText(b, by)) || a.place - b.place);
      heads.forEach((head, i) => { if (i === by) head.setAttribute('aria-sort', state.down ? 'descending' : 'ascending'); else head.removeAttribute('aria-sort'); });
      state.at = -1;
      detail.hidden = true;
      table.setAttribute('aria-rowcount', String(state.found.length + 1));
      told.textContent = `${digits(state.found.length)} of ${digits(rows.length)}`;
      view.scrollTop = 0;
      onPaper();
      show(true);
    };
    const onPaper = () => {
      const some = state.found.slice(0, 100);
      paper.replaceChildren(note(`${digits(some.length)} of ${digits(state.found.length)}; all are in the CSV files.`), el('table', {},
        el('thead', {}, el('tr', {}, ...columns.map((name) => el('th', { scope: 'col' }, name)))),
        el('tbody', {}, ...some.map((row) => el('tr', {}, ...cells(row).map((td) => { td.removeAttribute('role'); return td; }))))));
    };
    const go = (to) => {
      if (!state.found.length) return;
      state.at = Math.min(state.found.length - 1, Math.max(0, to));
      const height = rowHeight(), top = state.at * height, head = heads[0].offsetHeight;
      if (top < view.scrollTop) view.scrollTop = top;
      else if (top + height > view.scrollTop + view.clientHeight - head) view.scrollTop = top + height - view.clientHeight + head;
      show(true);
      [...body.children].find((tr) => tr.index === state.at)?.focus({ preventScroll: true });
    };
    const whole = () => {
      const row = state.found[state.at];
      if (!row) return;
      const title = el('h3', {}, `${row[1]}: `, value(keyText(row[2])), ...(row[3] === null ? [` is ${row[0]}`] : [', ', value(row[3])]));
      const side = (name, text) => el('div', {}, el('h4', {}, name), el('pre', { tabindex: '0' }, value(text, true)));
      detail.replaceChildren(title, ...(row[3] === null ? [] : [cell('div', 'pair', side('Source', row[5]), side('Target', row[6])), note(firstDifference(row[5], row[6]))].filter(Boolean)));
      detail.hidden = false;
    };
    view.addEventListener('scroll', () => requestAnimationFrame(() => show(false)));
    view.addEventListener('keydown', (event) => {
      if (event.target.closest('thead')) return;
      const page = Math.max(1, Math.floor(view.clientHeight / rowHeight()) - 2);
      const steps = { ArrowDown: state.at + 1, ArrowUp: state.at - 1, PageDown: state.at + page, PageUp: state.at - page, Home: 0, End: state.found.length - 1 };
      if (event.key in steps) go(steps[event.key]);
      else if (event.key === 'Enter') whole();
      else if (event.key === 'Escape') detail.hidden = true;
      else return;
      event.preventDefault();
    });
    body.addEventListener('click', (event) => {
      const tr = event.target.closest('tr.record');
      if (tr) { go(tr.index); whole(); }
    });
    let waiting;
    search.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(find, 80); });
    selects.forEach(({ node }) => node.addEventListener('change', find));
    addEventListener('resize', () => show(true));
    requestAnimationFrame(find);
    return section(s.title, 'records', ...s.notes.map((text) => note(text)),
      el('div', { class: 'tools screen', role: 'search' }, el('label', { class: 'wide' }, 'Search', search), ...selects.map(({ label }) => label), told),
      view, detail, paper);
  };

  // Where two texts begin to differ, for what looks alike.
  const firstDifference = (source, target) => {
    if (source === null || target === null || (number.test(source) && number.test(target))) return '';
    const [a, b] = [[...source], [...target]];
    const at = a.findIndex((c, i) => c !== b[i]);
    const place = at < 0 ? a.length : at;
    const named = (c) => (c === undefined ? 'its end' : `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`);
    if (place >= a.length && place >= b.length) return 'The texts are the same; what differs is their type, or a part that is cut off here.';
    return `They differ from character ${place + 1} on: the source has ${named(a[place])}, the target ${named(b[place])}.`;
  };

  const themes = [['', 'Automatic'], ['light', 'Light'], ['dark', 'Dark']];
  const theme = el('select', { id: 'theme' }, ...themes.map(([word, name]) => el('option', { value: word }, name)));
  theme.addEventListener('change', () => { document.documentElement.dataset.theme = theme.value; });

  document.title = facts.title;
  document.getElementById('top').append(
    el('div', { class: 'grow' }, el('h1', {}, facts.title), cell('p', 'quiet mono', facts.subtitle)),
    el('label', { class: 'screen quiet' }, 'Colours ', theme));
  const main = document.getElementById('main');
  main.append(el('div', { class: `verdict ${facts.verdict.tone}`, role: 'status' }, el('strong', {}, facts.verdict.word), el('p', {}, facts.verdict.meaning)));
  for (const s of facts.sections) main.append(draw[s.kind](s));
  document.getElementById('foot').append(facts.footer);
})();
