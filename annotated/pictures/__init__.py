"""The book's pictures: inline SVG whose ink follows the page, light or dark.

Charts (`lines`, `bars`, `points`, `intervals`, `heatmap`, `heatmaps`, `alignment`) are drawn by
matplotlib, diagrams (`Diagram`, `architecture`, `search_tree`, `trees`) by hand. Each function
returns a `Picture` for a notebook to show; `head_view` returns one that a script brings to life.
This room draws numbers and names; it imports none of the others.
"""

from annotated.pictures.architecture import architecture as architecture
from annotated.pictures.charts import INK as INK
from annotated.pictures.charts import PALETTE as PALETTE
from annotated.pictures.charts import Picture as Picture
from annotated.pictures.charts import alignment as alignment
from annotated.pictures.charts import bars as bars
from annotated.pictures.charts import heatmap as heatmap
from annotated.pictures.charts import heatmaps as heatmaps
from annotated.pictures.charts import intervals as intervals
from annotated.pictures.charts import lines as lines
from annotated.pictures.charts import points as points
from annotated.pictures.diagrams import Diagram as Diagram
from annotated.pictures.heads import HeadView as HeadView
from annotated.pictures.heads import Look as Look
from annotated.pictures.heads import head_view as head_view
from annotated.pictures.search import search_tree as search_tree
from annotated.pictures.tree import trees as trees
