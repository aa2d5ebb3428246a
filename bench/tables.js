// Makes the page's tables sortable and filterable. Without it they are plain tables, in the order they were written.
//
// Sorting: a click on a heading, or on a phone the list "Sort by"; rows without a value come last either way.
// Filtering: words that a row must hold; -word that it must not; column<number, also > <= >= = !=, where a column is
// named by any part of its heading without spaces, and the number is in the unit that the heading says.
(() => {
  "use strict";
  const LEAST_ROWS = 5; // from which on a table has a filter

  const text = (cell) => cell.textContent.replace(/\s+/g, " ").trim();
  const number = (words) => {
    const found = words.replace(/,/g, "").replace(/\u2212/g, "-").match(/^[+-]?\d+(\.\d+)?/);
    return found ? Number(found[0]) : null;
  };
  const key = (cell) => {
    const given = cell.dataset.value;
    if (given !== undefined) return given === "" || isNaN(given) ? given || null : Number(given);
    const words = text(cell);
    return words === "\u2013" || words === "" ? null : number(words) ?? words.toLowerCase();
  };

  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const matches = (row, headings, query) =>
    query.split(/\s+/).filter(Boolean).every((term) => {
      const asked = term.match(/^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/);
      if (asked) {
        const column = headings.findIndex((name) => name.includes(asked[1].toLowerCase()));
        if (column < 0) return false;
        const words = text(row.cells[column]).toLowerCase();
        const [mine, wanted] = [number(words), number(asked[3])];
        if (asked[2] === "=") return wanted !== null && mine !== null ? mine === wanted : words.includes(asked[3].toLowerCase());
        if (asked[2] === "!=") return wanted !== null && mine !== null ? mine !== wanted : !words.includes(asked[3].toLowerCase());
        if (mine === null || wanted === null) return false;
        return { "<": mine < wanted, ">": mine > wanted, "<=": mine <= wanted, ">=": mine >= wanted }[asked[2]];
      }
      const words = text(row).toLowerCase();
      return term.length > 1 && term[0] === "-" ? !words.includes(term.slice(1).toLowerCase()) : words.includes(term.toLowerCase());
    });

  const furnish = (table) => {
    const body = table.tBodies[0];
    const head = table.tHead && table.tHead.rows[0];
    if (!head || !body || body.rows.length < 2) return;
    const cells = [...head.cells];
    const headings = cells.map((cell) => text(cell).toLowerCase().replace(/ /g, ""));
    const written = [...body.rows];

    const order = (column, direction) => {
      cells.forEach((cell, index) => {
        if (index === column && direction) cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
        else cell.removeAttribute("aria-sort");
      });
      const rows = written.slice();
      if (direction) {
        const keys = new Map(rows.map((row) => [row, key(row.cells[column])]));
        rows.sort((a, b) => {
          const [one, other] = [keys.get(a), keys.get(b)];
          if (one === null || other === null) return (one === null) - (other === null);
          return direction * compare(one, other);
        });
      }
      body.append(...rows);
    };

    cells.forEach((cell, column) => {
      if (!text(cell)) return;
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort";
      button.append(...cell.childNodes);
      cell.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: -1, descending: 0 }[cell.getAttribute("aria-sort")] ?? 1;
        order(column, next);
      });
    });

    const tools = document.createElement("div");
    tools.className = "tools";
    if (written.length >= LEAST_ROWS) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      const count = document.createElement("output");
      input.type = "search";
      input.placeholder = table.dataset.example || "words";
      input.setAttribute("aria-label", "Filter the rows");
      label.append("Filter", input);
      tools.append(label, count);
      input.addEventListener("input", () => {
        written.forEach((row) => (row.hidden = !matches(row, headings, input.value)));
        const shown = written.filter((row) => !row.hidden).length;
        count.textContent = shown < written.length ? `${shown} of ${written.length}` : "";
      });
    }
    const label = document.createElement("label");
    const select = document.createElement("select");
    label.className = "sort";
    select.append(new Option("as written", "-1"));
    cells.forEach((cell, column) => text(cell) && select.append(new Option(text(cell), String(column))));
    select.addEventListener("change", () => order(Number(select.value), select.value === "-1" ? 0 : 1));
    label.append("Sort by", select);
    tools.append(label);
    (table.closest(".wide") || table).before(tools);
  };

  document.querySelectorAll("table.stack").forEach(furnish);
})();
