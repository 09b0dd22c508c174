// Sorting is all that the script does; the page is whole without it.
for (const table of document.querySelectorAll('table.sortable'))
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement('button');
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const number = head.classList.contains('number'), column = head.cellIndex;
      const falling = head.ariaSort ? head.ariaSort === 'ascending' : number;
      for (const cell of table.tHead.rows[0].cells) cell.ariaSort = null;
      head.ariaSort = falling ? 'descending' : 'ascending';
      const key = row => row.cells[column].dataset.sort ?? row.cells[column].textContent;
      const order = (a, b) =>
        number ? key(a) - key(b) : key(a).localeCompare(key(b), 'en', {numeric: true});
      const rows = [...table.tBodies[0].rows].sort((a, b) => falling ? order(b, a) : order(a, b));
      table.tBodies[0].append(...rows);
    };
  }
